package kube

import (
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// ConvertNodePolicy takes over a NodePolicy whose spec is raw JSON, as the daemon reads it.
func ConvertNodePolicy(o *api.Raw) *model.NodePolicy {
	r := &remarks{object: model.Ref{Kind: model.KindNodePolicy, Name: model.Name{Name: o.Name}}}
	return convertNodePolicy(&o.ObjectMeta, decodeSpec[api.NodePolicySpec](r, o.Spec), r)
}

// convertNodePolicy takes over a NodePolicy. Rules fail closed as those of a ClusterNetworkPolicy do: one that isn't understood accepts
// nothing, or denies everything that no fail-safe lets pass.
func convertNodePolicy(meta *metav1.ObjectMeta, spec *api.NodePolicySpec, r *remarks) *model.NodePolicy {
	p := &model.NodePolicy{ClusterPolicy: model.ClusterPolicy{Name: meta.Name, UID: string(meta.UID), Generation: meta.Generation, Priority: spec.Priority}}
	unread := map[string]bool{} // fields that decodeSpec could not read
	for _, note := range r.list {
		unread[strings.TrimPrefix(note.Field, "spec.")] = true
	}
	if ours(meta.Annotations) {
		parseAnnotations(p, r, nodePolicyAnnotations(), meta.Annotations)
	}
	p.Nodes = selectorOr(r, "spec.nodeSelector", spec.NodeSelector)
	if unread["nodeSelector"] {
		p.Nodes = model.Selector{Invalid: true}
	}
	c := clusterRules{remarks: r, host: true}
	switch spec.Tier {
	case "", model.AdminTier.String():
	case model.BaselineTier.String():
		p.Tier = model.BaselineTier
	default:
		c.unknown("spec.tier", "tier %q is not known: all rules fail closed, in tier Admin", spec.Tier)
		c.lost = true
	}
	switch spec.FailSafes {
	case "", api.FailSafesKeep:
	case api.FailSafesClose:
		p.Closes = true
	default:
		r.add("spec.failSafes", "%q is neither %s nor %s: what a node can't be reached without passes", spec.FailSafes, api.FailSafesKeep, api.FailSafesClose)
	}
	p.Ingress = c.nodeRules("ingress", "from", spec.Ingress, unread["ingress"])
	p.Egress = c.nodeRules("egress", "to", spec.Egress, unread["egress"])
	p.Remarks = r.list
	return p
}

// nodeRules takes over the rules of a direction. Where they can't be read at all, everything is denied.
func (c *clusterRules) nodeRules(field, peers string, list []api.NodeRule, unread bool) []model.ClusterRule {
	if unread {
		c.add("spec."+field, "everything is denied, since the rules can't be read")
		return []model.ClusterRule{denyAll("")}
	}
	var rules []model.ClusterRule
	for i := range list {
		// Both types are the same words; what a rule of ours can't say is absent.
		var rule clusterapi.Rule
		raw, err := json.Marshal(&list[i])
		if err == nil {
			err = json.Unmarshal(raw, &rule)
		}
		if err != nil {
			rule.Unknown = append(rule.Unknown, err.Error())
		}
		rules = append(rules, c.rule(fmt.Sprintf("spec.%s[%d]", field, i), peers, &rule))
	}
	return rules
}

// denyAll is what becomes of a rule that isn't understood and doesn't accept.
func denyAll(name string) model.ClusterRule {
	return model.ClusterRule{Name: name, Action: model.Deny, Peers: []model.ClusterPeer{{All: true}}, AnyPort: true}
}

// nodePolicyAnnotations is the table of a NodePolicy's annotations.
func nodePolicyAnnotations() []annotation[model.NodePolicy] {
	return []annotation[model.NodePolicy]{
		{enforcementKey, enforcementValue, enforcementDoc, func(p *model.NodePolicy, in input) { p.Audit = enforcement(in) }},
	}
}
