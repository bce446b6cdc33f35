// Package policy shows with packets that NetworkPolicies hold: the recipes that everyone uses, generated sets
// of policies, pods that talk in their first millisecond, a daemon that is killed under load, flows that end
// when a policy tightens. It runs the real program on every node of a lab: `make test-policy`.
package policy
