package holder

import (
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Advertisers are the BGPAdvertisements that speak of an address of a Service, the eldest first. Where there is one, flags and annotations have no say,
// whichever nodes and routers it selects, and though it can't be used.
func Advertisers(m *model.Model, s *model.Service, a Address) []*model.BGPAdvertisement {
	var list []*model.BGPAdvertisement
	for _, ad := range m.BGPAdsByAge() {
		if speaks(m, ad, a) && ad.Services.Matches(s.Labels) {
			list = append(list, ad)
		}
	}
	return list
}

func speaks(m *model.Model, ad *model.BGPAdvertisement, a Address) bool {
	switch a.Kind {
	case Cluster:
		return ad.Cluster
	case External:
		return ad.External
	case Balancer:
		return ad.Balancer && (len(ad.Pools) == 0 || slices.ContainsFunc(ad.Pools, func(name string) bool {
			p := m.Pools[name]
			return p != nil && p.Holds(a.Addr)
		}))
	}
	return false
}

// Aggregate is the prefix that stands for an address in a BGPAdvertisement: as long as that says, where all of it lies in a range of such addresses, or
// else the address alone. What lies in no range may be somebody else's.
func Aggregate(m *model.Model, ad *model.BGPAdvertisement, a Address) netip.Prefix {
	alone := netip.PrefixFrom(a.Addr, a.BitLen())
	n, ok := ad.Length[model.FamilyOf(a.Addr)]
	if !ok {
		return alone
	}
	p := netip.PrefixFrom(a.Addr, n).Masked()
	for _, r := range spaceOf(m, a.Kind) {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return p
		}
	}
	return alone
}

// spaceOf are the ranges of a kind of address.
func spaceOf(m *model.Model, k Kind) []netip.Prefix {
	switch k {
	case Cluster:
		return m.Settings.Services.ClusterRanges
	case External:
		return m.Settings.Services.ExternalRanges
	}
	return m.BalancerRanges()
}

// Aggregated are the ranges in which this node may advertise aggregates by BGPAdvertisements, so that what nobody serves in them comes here too.
func Aggregated(m *model.Model) []netip.Prefix {
	self := m.Self()
	if self == nil || !m.Settings.Router {
		return nil
	}
	var list []netip.Prefix
	for _, ad := range m.BGPAdsByAge() {
		if ad.Broken != "" || !ad.Nodes.Matches(self.Labels) {
			continue
		}
		for kind, on := range map[Kind]bool{Cluster: ad.Cluster, External: ad.External, Balancer: ad.Balancer} {
			for _, r := range spaceOf(m, kind) {
				if n, ok := ad.Length[model.FamilyOf(r.Addr())]; on && ok && r.Bits() <= n {
					list = append(list, r)
				}
			}
		}
	}
	return list
}
