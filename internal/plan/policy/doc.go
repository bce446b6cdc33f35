// Package policy is the verb between NetworkPolicies and the firewalls of this node's pods: it decides who
// may talk to whom, in no kernel's words.
//
// Only policies that select a pod of this node are resolved. What such a policy selects as a peer becomes a
// set, shared by every policy that selects the same; a pod knows the sets that it is in. So a pod's change
// of labels is planned by looking at that pod alone, and touches the elements of the sets that it enters or
// leaves. The Planner's index is a function of the model: candidates are found by namespace and label, never
// by walking all selectors.
package policy
