package host

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Egress plans which packets leave with the node's address: those of our pods to whatever is neither a pod,
// nor a node, nor excluded. What each Node adds to these is planned by Peer.
func Egress(m *model.Model) []*intent.Egress {
	self, s := m.Self(), &m.Settings
	e := &intent.Egress{Refuse: merge(s, unserved(m))}
	if self != nil && s.Router && s.Routes.PodEgress {
		e.Pods = merge(s, self.PodCIDRs)
		e.Keep = slices.DeleteFunc(kept(s), m.RangeAround)
	}
	if len(e.Pods) == 0 && len(e.Refuse) == 0 {
		return nil
	}
	return []*intent.Egress{e}
}

// Peer plans what one Node, be it ours, is known by: its addresses, to which alone tunnels and whatever else nodes have for
// each other listen, and what it adds to the destinations that see pod addresses: these, and its pod ranges, but
// those that lie within what is there anyway.
func Peer(m *model.Model, name string) []*intent.Peer {
	n, self, s := m.Nodes[name], m.Self(), &m.Settings
	if n == nil || !s.Router && !s.Proxy {
		return nil
	}
	p := &intent.Peer{}
	if self != nil && s.Router && s.Routes.PodEgress && len(merge(s, self.PodCIDRs)) > 0 {
		settings := kept(s)
		p.Ranges = slices.DeleteFunc(merge(s, n.PodCIDRs), func(r netip.Prefix) bool {
			return m.RangeAround(r) || slices.ContainsFunc(settings, func(k netip.Prefix) bool { return k.Bits() <= r.Bits() && k.Contains(r.Addr()) })
		})
	}
	if name != s.Node && s.Router && s.Proxy {
		p.Away = slices.DeleteFunc(merge(s, n.PodCIDRs), m.RangeAround)
	}
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		if s.Has(model.FamilyOf(a)) {
			p.Addrs = append(p.Addrs, a)
		}
	}
	return []*intent.Peer{p}
}

// kept are the destinations that see pod addresses by the settings.
func kept(s *model.Settings) []netip.Prefix {
	return merge(s, slices.Concat(s.Routes.ClusterCIDRs, s.Routes.EgressExclude))
}

// Near tells what a node's pod range bears on besides that node: others whose ranges it holds, and whether it holds
// one of the settings' (the rest of Egress).
func Near(m *model.Model, r netip.Prefix) (nodes []string, rest bool) {
	return m.NodesWithin(r), slices.ContainsFunc(kept(&m.Settings), func(k netip.Prefix) bool {
		return r.Bits() < k.Bits() && r.Contains(k.Addr())
	})
}

// unserved are the service ranges in which nobody but Services has an address: cluster addresses where we carry
// Services and know the range, since hosts may live in the default one; and what we announce as a whole, so that unused addresses come to us too.
func unserved(m *model.Model) []netip.Prefix {
	s := &m.Settings
	var list []netip.Prefix
	if s.Proxy && s.Services.ClusterGiven {
		list = append(list, s.Services.ClusterRanges...)
	}
	list = append(list, holder.Aggregated(m)...)
	if !s.Router || !s.BGP.AggregateServices {
		return list
	}
	for _, r := range []struct {
		on     bool
		ranges []netip.Prefix
	}{
		{s.BGP.AdvertiseCluster, s.Services.ClusterRanges},
		{s.BGP.AdvertiseExternal, s.Services.ExternalRanges},
		{s.BGP.AdvertiseLB, m.BalancerRanges()},
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
