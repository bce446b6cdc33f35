package advert

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// sourceAPI is the value of --node-routes with which nodes don't teach each other their ranges.
const sourceAPI = "api"

// Speaker plans everything but the sessions with other nodes and the addresses of Services. Without an own Node, or where we can't be a
// speaker, it is nil; the remarks say why.
func Speaker(m *model.Model) (*intent.BGP, []model.Remark) {
	self := m.Self()
	if self == nil || !m.Settings.Router {
		return nil, nil
	}
	note := remarks{object: self.Ref()}
	as := asOf(m, self)
	switch {
	case as == 0:
		note.add("kube-router.io/node.asn", "no BGP: with --nodes-full-mesh=false every node needs its AS number")
		return nil, note.list
	case !self.PrimaryIP().IsValid():
		note.add("status.addresses", "no BGP: the node has no address")
		return nil, note.list
	}
	b := &intent.BGP{
		Speaker: &intent.Speaker{
			ASN: uint32(as), RouterID: routerID(m, self), Port: uint16(m.Settings.BGP.Port), Listen: listen(m, self, &note),
		},
		Exchange:  exchange(m, self, &note),
		Neighbors: routers(m, self, &note),
		Announces: pods(m, self, &note),
		Held:      held(m, append(holder.Nowhere(), holder.Home(m)...)),
	}
	b.Outlets = outlets(m, self, b.Neighbors)
	b.Withheld = Withheld(m, b.Announces)
	alone(m, self, &note)
	return b, note.list
}

// Held plans what routers outside may not teach because a node holds it.
func Held(m *model.Model, node string) []*intent.Held {
	self := m.Self()
	if self == nil || !m.Settings.Router || asOf(m, self) == 0 || !self.PrimaryIP().IsValid() {
		return nil
	}
	return held(m, holder.OfNode(m, node))
}

// held are ranges without what is permitted in them.
func held(m *model.Model, list []holder.Held) []*intent.Held {
	var all []*intent.Held
	for _, h := range holder.Without(list, holder.Permitted(m)) {
		all = append(all, &intent.Held{Prefix: h.Prefix, Min: h.Min, Max: h.Max})
	}
	return all
}

// asOf is a node's AS: the cluster's in a full mesh, else the node's own or 0.
func asOf(m *model.Model, n *model.Node) model.ASN {
	if m.Settings.BGP.FullMesh {
		return m.Settings.BGP.ASN
	}
	return n.Options.ASN
}

// routerID is the speaker's identity: as given, or the node's primary address, or 32 bits made of that
// (FNV-1a of its 16 bytes, as the reference), which is all that is left where it is an IPv6 address.
func routerID(m *model.Model, n *model.Node) netip.Addr {
	primary := n.PrimaryIP()
	if a, err := netip.ParseAddr(m.Settings.BGP.RouterID); err == nil && a.Is4() {
		return a
	}
	if primary.Is4() && m.Settings.BGP.RouterID == "" {
		return primary
	}
	bytes := primary.As16()
	h := fnv.New32a()
	h.Write(bytes[:])
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], max(h.Sum32(), 1)) // 0 is no identity (RFC 6286)
	return netip.AddrFrom4(id)
}

// listen are the addresses at which peers reach us: those of the annotation, else the node's.
func listen(m *model.Model, n *model.Node, note *remarks) []netip.Addr {
	list := slices.Clone(n.Options.BGPLocalAddrs)
	if len(list) == 0 {
		for _, f := range []model.Family{model.IPv4, model.IPv6} {
			if a := n.IP(f); a.IsValid() && (m.Settings.Has(f) || a == n.PrimaryIP()) {
				list = append(list, a)
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	list = widest(slices.Compact(list))
	if len(list) > mostListen {
		note.add("kube-router.io/bgp-local-addresses", "only the first %d addresses are listened on", mostListen)
		list = list[:mostListen]
	}
	return list
}

// widest leaves out what another address of the list stands for: the unspecified address is any of its family, and
// both of them are any at all. Nobody can listen at one of them and at a single address too.
func widest(list []netip.Addr) []netip.Addr {
	any4, any6 := slices.Contains(list, netip.IPv4Unspecified()), slices.Contains(list, netip.IPv6Unspecified())
	if any4 && any6 {
		return nil
	}
	return slices.DeleteFunc(list, func(a netip.Addr) bool {
		return !a.IsUnspecified() && (any4 && a.Is4() || any6 && a.Is6())
	})
}

// mostListen bounds the addresses that a speaker listens on.
const mostListen = 8

// pods plans this node's pod ranges: to nodes, and outside as they are or as the aggregates they lie in.
func pods(m *model.Model, self *model.Node, note *remarks) []*intent.Announce {
	var list []*intent.Announce
	pref := uint32(0)
	if p := self.Options.LocalPref; p != nil {
		pref = *p
	}
	if self.Options.LocalPref != nil && pref == 0 {
		note.add("kube-router.io/node.bgp.local-pref", "0 ignored: advertised as without the annotation")
	}
	add := func(kind intent.AnnounceKind, p netip.Prefix, field, via string) {
		f := model.FamilyOf(p.Addr())
		hop := self.IP(f)
		switch {
		case !m.Settings.Has(f):
		case !hop.IsValid():
			note.add(field, "%s not advertised: the node has no %s address", p, f)
		default:
			list = append(list, &intent.Announce{Kind: kind, Prefix: p.Masked(), NextHop: hop, LocalPref: pref, Via: via})
		}
	}
	aggregates := m.Settings.BGP.AggregatePodCIDRs
	for _, p := range self.PodCIDRs {
		if holder.Keeper(m, self, p) != nil {
			continue // which the planner of routes tells
		}
		add(intent.AnnouncePods, p, "spec.podCIDRs", "")
		for _, ad := range podAds(m, self) {
			if ad.Broken == "" {
				add(intent.AnnouncePodsOut, p, "spec.podCIDRs", ad.Name)
			}
		}
		if len(aggregates) > 0 && !within(aggregates, p.Addr()) {
			add(intent.AnnouncePodsOut, p, "spec.podCIDRs", "")
		}
	}
	for _, p := range aggregates {
		add(intent.AnnouncePodsOut, p, "", "")
	}
	for _, p := range ranges(m, self) {
		add(intent.AnnounceVIP, p, "", "")
	}
	slices.SortFunc(list, (*intent.Announce).Compare)
	return slices.CompactFunc(list, func(a, b *intent.Announce) bool { return *a == *b })
}

// ranges are the ranges of Services that are announced whole.
func ranges(m *model.Model, self *model.Node) []netip.Prefix {
	b := &m.Settings.BGP
	if !b.AggregateServices || holder.Drained(m, self) {
		return nil
	}
	var list []netip.Prefix
	for _, r := range []struct {
		on     bool
		ranges []netip.Prefix
	}{
		{b.AdvertiseCluster, m.Settings.Services.ClusterRanges},
		{b.AdvertiseExternal, m.Settings.Services.ExternalRanges},
		{b.AdvertiseLB, m.BalancerRanges()},
	} {
		if r.on {
			list = append(list, r.ranges...)
		}
	}
	return list
}

// remarks collects remarks about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, format string, args ...any) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: fmt.Sprintf(format, args...)})
}
