package balancer

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

// mine tells whether we give the Service its addresses.
func mine(set *model.Settings, s *model.Service) bool {
	return s.Type == model.LoadBalancer && Handles(set, s.Class)
}

// Handles tells whether we give addresses to the Services of a class.
func Handles(set *model.Settings, class string) bool {
	return class == holder.BalancerClass || set.Allocator.DefaultClass && (class == "" || class == "default")
}

// sorted are all Services by name, so that a plan depends on nothing else.
func sorted(m *model.Model) []*model.Service {
	return slices.SortedFunc(maps.Values(m.Services), func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
}

// ingress are the addresses that the API says a Service has, but for those of a balancer that forwards by itself.
func ingress(s *model.Service) []netip.Addr {
	if s.Type != model.LoadBalancer {
		return nil
	}
	var list []netip.Addr
	for _, in := range s.Ingress {
		if in.Addr.IsValid() && !in.Proxy {
			list = append(list, in.Addr)
		}
	}
	return list
}

// missing are the families in which a Service wants an address and has none yet. One that prefers two
// families does without the second.
func missing(set *model.Settings, s *model.Service, has []netip.Addr) []model.Family {
	var list []model.Family
	for _, f := range s.Families {
		if set.Has(f) && !slices.ContainsFunc(has, func(a netip.Addr) bool { return model.FamilyOf(a) == f }) {
			list = append(list, f)
		}
	}
	return list
}

// asked is the address of a family that the Service asks for.
func asked(s *model.Service, f model.Family) netip.Addr {
	for _, a := range s.Requested {
		if model.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}
