package service

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// address is one address at which a Service listens, with the kind of front it makes.
type address struct {
	netip.Addr
	kind intent.FrontKind
}

// remarks collects what the user should know about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, format string, args ...any) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: fmt.Sprintf(format, args...)})
}

// addresses are the cluster, balancer and external addresses that we serve for s; node ports have
// addresses of their own (nodeAddresses).
func addresses(m *model.Model, s *model.Service, r *remarks) []address {
	var list []address
	for _, a := range s.ClusterIPs {
		list = append(list, address{a, intent.ClusterFront})
	}
	for i, in := range s.Ingress {
		if in.Proxy || s.Options.SkipLBIPs || !in.Addr.IsValid() {
			continue // the balancer forwards to node ports by itself (KEP-1860)
		}
		field := fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i)
		if permitted(&m.Settings, s, r, field, in.Addr, m.Settings.Allocator.Ranges, "--loadbalancer-ip-range") {
			list = append(list, address{in.Addr, intent.BalancerFront})
		}
	}
	for i, a := range s.ExternalIPs {
		field := fmt.Sprintf("spec.externalIPs[%d]", i)
		if permitted(&m.Settings, s, r, field, a, m.Settings.Services.ExternalRanges, "--service-external-ip-range") {
			list = append(list, address{a, intent.ExternalFront})
		}
	}
	return slices.DeleteFunc(list, func(a address) bool { return !m.Settings.Has(model.FamilyOf(a.Addr)) })
}

// permitted checks an address that a user wrote into a Service: whoever may write Services must not be
// able to take over any address of the network (CVE-2020-8554, GHSA-phqm-jgc3-qf8g). With the strict
// check it lies in a range that the operator gave, and no range permits none.
func permitted(set *model.Settings, s *model.Service, r *remarks, field string, a netip.Addr, ranges []netip.Prefix, flag string) bool {
	if f := model.FamilyOf(a); !slices.Contains(families(set, s), f) {
		if set.Has(f) {
			r.add(field, "%s ignored: the Service has no endpoints of %s", a, f)
		}
		return false
	}
	if !set.Services.StrictExternal {
		return true
	}
	if within(set.Services.ClusterRanges, a) {
		r.add(field, "%s ignored: it lies in the range of cluster addresses", a)
		return false
	}
	if !within(ranges, a) {
		r.add(field, "%s ignored: not in %s", a, flag)
		return false
	}
	return true
}

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// families are the families in which a Service has endpoints: spec.ipFamilies, else those of its cluster
// addresses, of those that are enabled.
func families(set *model.Settings, s *model.Service) []model.Family {
	list := slices.Clone(s.Families)
	if len(list) == 0 {
		for _, a := range s.ClusterIPs {
			list = append(list, model.FamilyOf(a))
		}
	}
	return slices.DeleteFunc(list, func(f model.Family) bool { return !set.Has(f) })
}
