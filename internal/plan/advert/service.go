package advert

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Service plans the announcement of a Service's addresses. An address that is refused is remarked on by the
// planner of Services; where that doesn't run, here.
func Service(m *model.Model, name model.Name) ([]*intent.Announce, []model.Remark) {
	s, self := m.Services[name], m.Self()
	if s == nil || self == nil || !m.Settings.Router || asOf(m, self) == 0 || !ours(s) || drained(m, self) {
		return nil, nil
	}
	note := remarks{object: s.Ref()}
	var list []*intent.Announce
	for _, v := range vips(m, s, &note) {
		f := model.FamilyOf(v.addr)
		switch {
		case !m.Settings.Has(f):
		case !self.IP(f).IsValid():
			note.add(v.field, "%s not announced: the node has no %s address", v.addr, f)
		case v.local && !hasLocal(m, s, f):
		case !v.local && whole(m, self, v.addr):
		default:
			list = append(list, &intent.Announce{
				Kind: intent.AnnounceVIP, Prefix: netip.PrefixFrom(v.addr, v.addr.BitLen()), NextHop: self.IP(f),
			})
		}
	}
	slices.SortFunc(list, (*intent.Announce).Compare)
	return slices.CompactFunc(list, func(a, b *intent.Announce) bool { return a.Prefix == b.Prefix }), note.list
}

// ours tells whether a Service has addresses that we may announce: others' proxies announce theirs.
func ours(s *model.Service) bool {
	return !s.Headless && s.Type != model.ExternalName && !s.AnotherProxy
}

// vip is an address that is to be announced.
type vip struct {
	addr  netip.Addr
	field string
	local bool // only while an endpoint of this node is ready
}

// vips are the addresses of a Service that are to be announced by flag or annotation.
func vips(m *model.Model, s *model.Service, note *remarks) []vip {
	b, o := &m.Settings.BGP, &s.Options
	external := s.External == model.Local || o.Local
	var list []vip
	if chosen(o.AdvertiseCluster, b.AdvertiseCluster) {
		for i, a := range s.ClusterIPs {
			list = append(list, vip{a, fmt.Sprintf("spec.clusterIPs[%d]", i), external || s.Internal == model.Local})
		}
	}
	if chosen(o.AdvertiseExternal, b.AdvertiseExternal) {
		for i, a := range s.ExternalIPs {
			v := vip{a, fmt.Sprintf("spec.externalIPs[%d]", i), external}
			if permitted(m, v, m.Settings.Services.ExternalRanges, "--service-external-ip-range", note) {
				list = append(list, v)
			}
		}
	}
	if s.Type != model.LoadBalancer || o.SkipLBIPs || !chosen(o.AdvertiseLB, b.AdvertiseLB) {
		return list
	}
	for i, in := range s.Ingress {
		v := vip{in.Addr, fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), external}
		if !in.Proxy && in.Addr.IsValid() && permitted(m, v, m.Settings.Allocator.Ranges, "--loadbalancer-ip-range", note) {
			list = append(list, v)
		}
	}
	return list
}

func chosen(annotation *bool, flag bool) bool {
	if annotation != nil {
		return *annotation
	}
	return flag
}

// permitted is the strict check of addresses that users write (CVE-2020-8554): whoever may write Services
// must not draw the network's traffic for any address.
func permitted(m *model.Model, v vip, ranges []netip.Prefix, flag string, note *remarks) bool {
	if !m.Settings.Services.StrictExternal {
		return true
	}
	why := ""
	switch {
	case within(m.Settings.Services.ClusterRanges, v.addr):
		why = "it lies in the range of cluster addresses"
	case !within(ranges, v.addr):
		why = "not in " + flag
	default:
		return true
	}
	if !m.Settings.Proxy {
		note.add(v.field, "%s ignored: %s", v.addr, why)
	}
	return false
}

// whole tells whether an address is announced already as part of its range.
func whole(m *model.Model, self *model.Node, a netip.Addr) bool { return within(ranges(m, self), a) }

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hasLocal tells whether this node has a ready endpoint of a family.
func hasLocal(m *model.Model, s *model.Service, f model.Family) bool {
	for _, slice := range m.SlicesOf(s.Name) {
		if slice.Family != f {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Ready && e.Node == m.Settings.Node && len(e.Addrs) > 0 {
				return true
			}
		}
	}
	return false
}
