package advert

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Service plans the announcement of a Service's addresses: of those that this node serves for every Service that has them
// (package holder), as the memo knows. An address that is refused is remarked on by the planner of Services; where that doesn't run, here.
func Service(m *model.Model, name model.Name, memo *holder.Memo) ([]*intent.Announce, []model.Remark) {
	s, self := m.Services[name], m.Self()
	if s == nil || self == nil || !m.Settings.Router || asOf(m, self) == 0 || !holder.Ours(s) || holder.Drained(m, self) {
		return nil, nil
	}
	note := remarks{object: s.Ref()}
	var list []*intent.Announce
	for _, v := range vips(m, s, &note) {
		f := model.FamilyOf(v.Addr)
		if len(holder.Has(m, s, v.Addr)) == 0 {
			continue // other Services have all that it wants there
		}
		at := memo.Served(m, v.Addr)
		shared(v.Address, s, at, &note)
		switch {
		case !self.IP(f).IsValid():
			note.add(v.Field, "%s not advertised: the node has no %s address", v.Addr, f)
		case !at.Here:
		case len(v.ads) > 0:
			list = append(list, byObjects(m, self, v, len(at.Only) > 0)...)
		case len(at.Only) == 0 && whole(m, self, v.Addr):
		default:
			list = append(list, &intent.Announce{
				Kind: intent.AnnounceVIP, Prefix: netip.PrefixFrom(v.Addr, v.BitLen()), NextHop: self.IP(f),
			})
		}
	}
	slices.SortFunc(list, (*intent.Announce).Compare)
	return slices.CompactFunc(list, func(a, b *intent.Announce) bool { return a.Prefix == b.Prefix && a.Via == b.Via }), note.list
}

// vip is an address that is to be advertised, by BGPAdvertisements or, without any, by flag or annotation.
type vip struct {
	holder.Address
	ads []*model.BGPAdvertisement
}

// byObjects announces an address as the BGPAdvertisements say that speak of it and select this node. One that is bound to nodes is also advertised
// alone, since the aggregate doesn't tell which they are.
func byObjects(m *model.Model, self *model.Node, v vip, bound bool) []*intent.Announce {
	var list []*intent.Announce
	for _, ad := range v.ads {
		if ad.Broken != "" || !ad.Nodes.Matches(self.Labels) {
			continue
		}
		alone := netip.PrefixFrom(v.Addr, v.BitLen())
		prefixes := []netip.Prefix{holder.Aggregate(m, ad, v.Address)}
		if bound && prefixes[0] != alone {
			prefixes = append(prefixes, alone)
		}
		for _, p := range prefixes {
			list = append(list, &intent.Announce{Kind: intent.AnnounceVIP, Prefix: p, NextHop: self.IP(model.FamilyOf(v.Addr)), Via: ad.Name})
		}
	}
	return list
}

// shared tells a Service what the others at an address make of its announcement.
func shared(v holder.Address, s *model.Service, at holder.Serving, note *remarks) {
	if len(at.Only) == 0 || slices.Contains(at.Only, s) {
		return
	}
	first := at.Only[0].Ref()
	if slices.Contains(at.Apart, s) {
		note.add(v.Field, "%s is advertised by nodes with endpoints of %s alone, which has traffic policy Local and is older; none of them has an endpoint of this Service", v.Addr, first)
		return
	}
	note.add(v.Field, "%s is advertised by nodes with endpoints of %s alone, which shares it and has traffic policy Local", v.Addr, first)
}

// vips are the addresses of a Service that are to be announced, by whoever says so.
func vips(m *model.Model, s *model.Service, note *remarks) []vip {
	b, o := &m.Settings.BGP, &s.Options
	list, refused := holder.Addresses(m, s)
	by := map[holder.Kind]struct {
		wanted     bool
		annotation *bool
		name       string
	}{
		holder.Cluster:  {chosen(o.AdvertiseCluster, b.AdvertiseCluster), o.AdvertiseCluster, "clusterip"},
		holder.External: {chosen(o.AdvertiseExternal, b.AdvertiseExternal), o.AdvertiseExternal, "externalip"},
		holder.Balancer: {s.Type == model.LoadBalancer && chosen(o.AdvertiseLB, b.AdvertiseLB), o.AdvertiseLB, "loadbalancerip"},
	}
	var all []vip
	for _, a := range list {
		switch v := (vip{a, holder.Advertisers(m, s, a)}); {
		case len(v.ads) > 0:
			if by[a.Kind].annotation != nil {
				note.add("kube-router.io/service.advertise."+by[a.Kind].name, "%s is advertised as %s says", a.Addr, v.ads[0].Ref())
			}
			all = append(all, v)
		case by[a.Kind].wanted:
			all = append(all, v)
		}
	}
	for _, a := range refused {
		if (by[a.Kind].wanted || len(holder.Advertisers(m, s, a)) > 0) && !m.Settings.Proxy {
			note.list = append(note.list, a.Remark(s))
		}
	}
	return all
}

func chosen(annotation *bool, flag bool) bool {
	if annotation != nil {
		return *annotation
	}
	return flag
}

// whole tells whether an address is announced already as part of its range.
func whole(m *model.Model, self *model.Node, a netip.Addr) bool { return within(ranges(m, self), a) }

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}
