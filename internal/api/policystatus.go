package api

// PolicyStatuses is the kind of PolicyStatus.
var PolicyStatuses = Kind{"PolicyStatus", "policystatuses"}

// PolicyStatusName is the one object of its kind.
const PolicyStatusName = "cluster"

// PolicyStatus tells on how many nodes policies are in force. One node writes it for all; nobody else need.
type PolicyStatus = Object[PolicyStatusSpec, PolicyStatusStatus]

// PolicyStatusSpec is empty: there is nothing to ask for.
type PolicyStatusSpec struct{}

// PolicyStatusStatus is what the nodes found of all policies. A policy that NotInForce doesn't name is in force on all nodes but, perhaps,
// silent ones.
type PolicyStatusStatus struct {
	Nodes      int64    `json:"nodes"`                // of the cluster
	Silent     int64    `json:"silent"`               // those of them that are not ready: they keep the rules that they had
	NotInForce []string `json:"notInForce,omitempty"` // "NetworkPolicy a/b: in force on 38 of 40 nodes, not on n3, n7"
}

// The conditions of a ClusterNetworkPolicy and of a NodePolicy that we write. The API has none of its own, and others may write theirs.
const (
	PolicyAccepted = "kube-router.io/Accepted" // everything in it is understood
	PolicyInForce  = "kube-router.io/InForce"  // no node tells that it isn't in force there
)
