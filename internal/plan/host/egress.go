package host

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Egress plans which packets leave with the node's address: those of our pods to whatever is neither a pod,
// nor a node, nor excluded. It follows every Node, so that a new one's pod range counts at once.
func Egress(m *model.Model) ([]*intent.Egress, []model.Remark) {
	self, s := m.Self(), &m.Settings
	if self == nil || !s.Router {
		return nil, nil
	}
	e := &intent.Egress{Drop: merge(s, announced(s))}
	if s.Routes.PodEgress {
		e.Pods = merge(s, self.PodCIDRs)
		e.Keep = keep(m)
	}
	if len(e.Pods) == 0 && len(e.Drop) == 0 {
		return nil, nil
	}
	return []*intent.Egress{e}, nil
}

// keep are the destinations that see pod addresses.
func keep(m *model.Model) []netip.Prefix {
	list := slices.Concat(m.Settings.Routes.ClusterCIDRs, m.Settings.Routes.EgressExclude)
	for _, n := range m.Nodes {
		list = append(list, n.PodCIDRs...)
		for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return merge(&m.Settings, list)
}

// announced are the service ranges that we announce as a whole, so that their unused addresses come to us too.
func announced(s *model.Settings) []netip.Prefix {
	if !s.BGP.AggregateServices {
		return nil
	}
	var list []netip.Prefix
	for _, r := range []struct {
		on     bool
		ranges []netip.Prefix
	}{
		{s.BGP.AdvertiseCluster, s.Services.ClusterRanges},
		{s.BGP.AdvertiseExternal, s.Services.ExternalRanges},
		{s.BGP.AdvertiseLB, s.Allocator.Ranges},
	} {
		if r.on {
			list = append(list, r.ranges...)
		}
	}
	return list
}

// merge sorts the ranges of enabled families and drops those within another, because an interval set takes no
// two ranges that overlap.
func merge(s *model.Settings, list []netip.Prefix) []netip.Prefix {
	list = slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool {
		return !p.IsValid() || !s.Has(model.FamilyOf(p.Addr()))
	})
	for i, p := range list {
		list[i] = p.Masked()
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range list {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}
