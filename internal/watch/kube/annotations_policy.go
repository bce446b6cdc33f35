package kube

import "kube-router/internal/model"

// enforcement tells whether a policy is only rehearsed. What isn't understood means that it is enforced, as without the annotation.
func enforcement(in input) (audit bool) {
	switch in.text {
	case "audit":
		return true
	case "enforce":
	default:
		in.wrong("%q is neither audit nor enforce: the policy is enforced", in.text)
	}
	return false
}

const (
	enforcementKey   = "enforcement"
	enforcementValue = "audit or enforce"
	enforcementDoc   = "audit: what the policy would refuse is counted and shown, and passes (see Rehearsal)"
)

// policyAnnotations is the table of a NetworkPolicy's annotations.
func policyAnnotations() []annotation[model.Policy] {
	return []annotation[model.Policy]{
		{enforcementKey, enforcementValue, enforcementDoc, func(p *model.Policy, in input) { p.Audit = enforcement(in) }},
	}
}

// clusterPolicyAnnotations is the table of a ClusterNetworkPolicy's annotations.
func clusterPolicyAnnotations() []annotation[model.ClusterPolicy] {
	return []annotation[model.ClusterPolicy]{
		{enforcementKey, enforcementValue, enforcementDoc, func(p *model.ClusterPolicy, in input) { p.Audit = enforcement(in) }},
	}
}
