package netpol

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
)

// Host tells whether NodePolicies let a node take or begin a connection. Safe connections are those without which nobody reaches the node: they
// are denied by policies alone that close fail-safes.
func (o *Oracle) Host(policies []*api.NodePolicy, node *corev1.Node, ingress bool, f Flow, safe bool) bool {
	peer := f.To
	if ingress {
		peer = f.From
	}
	list := slices.Clone(policies)
	slices.SortFunc(list, func(a, b *api.NodePolicy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), cmp.Compare(a.Name, b.Name))
	})
	for _, tier := range []string{"Admin", "Baseline"} {
		if d := o.hostTier(list, tier, node, ingress, f, peer, safe); d == accept || d == deny {
			return d == accept
		}
	}
	return true
}

func (o *Oracle) hostTier(list []*api.NodePolicy, tier string, node *corev1.Node, ingress bool, f Flow, peer netip.Addr, safe bool) decision {
	for _, p := range list {
		of := cmp.Or(p.Spec.Tier, "Admin")
		if of != tier || p.Spec.NodeSelector != nil && !matches(p.Spec.NodeSelector, node.Labels) {
			continue
		}
		rules := p.Spec.Egress
		if ingress {
			rules = p.Spec.Ingress
		}
		for _, r := range rules {
			// The words are those of a ClusterNetworkPolicy's egress, whose peers may be nodes and networks.
			d := o.clusterRule(plainRule(r), false, f, peer)
			if d == deny && safe && p.Spec.FailSafes != api.FailSafesClose {
				continue
			}
			if d != undecided {
				return d
			}
		}
	}
	return undecided
}

func plainRule(r api.NodeRule) (rule clusterapi.Rule) {
	r.To, r.From = append(slices.Clone(r.From), r.To...), nil
	raw, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(raw, &rule)
	}
	if err != nil {
		panic(err) // both are the same words
	}
	return rule
}

// NodePolicy makes a NodePolicy of a name.
func (r Generator) NodePolicy(name string) *api.NodePolicy {
	p := &api.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", Annotations: r.audited()}}
	p.Spec.Tier, p.Spec.Priority = pick(r, "Admin", "Baseline", ""), int32(r.IntN(4))
	p.Spec.FailSafes = pick(r, "", api.FailSafesKeep, api.FailSafesClose)
	if r.IntN(3) > 0 {
		s := r.selector("zone", []string{"east", "west"})
		p.Spec.NodeSelector = &s
	}
	for _, ingress := range []bool{true, false} {
		for range r.IntN(4) {
			var peers []clusterapi.Peer
			for range 1 + r.IntN(3) {
				peers = append(peers, r.clusterPeer(false))
			}
			rule := clusterapi.Rule{Name: pick(r, "", "one", "two"), Action: pick(r, "Accept", "Deny", "Pass")}
			for range r.IntN(4) {
				rule.Protocols = append(rule.Protocols, r.protocol(false))
			}
			if rule.To = peers; ingress {
				rule.From, rule.To = peers, nil
			}
			raw, err := json.Marshal(rule)
			var one api.NodeRule
			if err == nil {
				err = json.Unmarshal(raw, &one)
			}
			if err != nil {
				panic(err) // both are the same words
			}
			if ingress {
				p.Spec.Ingress = append(p.Spec.Ingress, one)
			} else {
				p.Spec.Egress = append(p.Spec.Egress, one)
			}
		}
	}
	return p
}
