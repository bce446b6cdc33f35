package host

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Forward plans for which pods' packets chain FORWARD of iptables is told to accept: where it would drop any. Our own firewall
// decides what pods may do, in a table of its own. Where it doesn't run, a rule that drops may be what enforces policy, so then
// the chain's policy alone is replaced (decision 0063).
func Forward(m *model.Model) []*intent.Forward {
	s := &m.Settings
	if !s.Router || !s.Accept {
		return nil
	}
	var list []*intent.Forward
	for _, f := range s.Families() {
		if !drops(m, f) {
			continue
		}
		pods := slices.DeleteFunc(join(merge(s, podRanges(m))), func(p netip.Prefix) bool { return model.FamilyOf(p.Addr()) != f })
		if len(pods) > 0 {
			list = append(list, &intent.Forward{Pods: pods, Last: !s.Firewall})
		}
	}
	return list
}

// drops tells whether chain FORWARD of iptables stands in the way of a family.
func drops(m *model.Model, f model.Family) bool {
	for _, c := range m.Foreign {
		if c.Iptables() && c.Has(f) && (c.Policy || c.Drops && m.Settings.Firewall) {
			return true
		}
	}
	return false
}

// podRanges are where pods are, as the settings say, else what the nodes have. No node has every address.
func podRanges(m *model.Model) []netip.Prefix {
	list := slices.Clone(m.Settings.Routes.ClusterCIDRs)
	if len(list) == 0 {
		for _, n := range m.Nodes {
			list = append(list, n.PodCIDRs...)
		}
	}
	return slices.DeleteFunc(list, func(p netip.Prefix) bool { return p.Bits() <= 0 })
}

// join makes one range of two halves, again and again: the ranges of many nodes are few rules. The list is sorted.
func join(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		for len(out) > 0 {
			last := out[len(out)-1]
			up := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
			if last.Bits() != p.Bits() || up.Addr() != last.Addr() || last == p || !up.IsValid() {
				break
			}
			out, p = out[:len(out)-1], up
		}
		out = append(out, p)
	}
	return out
}

// Ranged tells whether a change of a Node concerns Forward.
func Ranged(old, now *model.Node) bool {
	return old == nil || now == nil || !slices.Equal(old.PodCIDRs, now.PodCIDRs)
}

// OpenIt is what to do about a chain of others that drops packets of pods.
const OpenIt = "let it accept what comes from and goes to kube-bridge, or set its policy to accept"

// Blocked are the chains of others that drop packets of pods, so far as can be told from outside: those that drop what none of their
// rules accepts, with no rule that may accept these. Where a rule of ours is to stand, it is none of them.
func Blocked(m *model.Model) []*model.ForwardChain {
	s := &m.Settings
	if !s.Router {
		return nil
	}
	var list []*model.ForwardChain
	for _, c := range m.Foreign {
		meets := slices.ContainsFunc(s.Families(), c.Has)
		if meets && c.Closed && !c.Open && !(c.Iptables() && s.Accept) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *model.ForwardChain) int { return a.Ref().Compare(b.Ref()) })
	return list
}
