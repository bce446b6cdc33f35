package advert

import (
	"cmp"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// BFD plans whose BFD packets this node takes; nothing where it has no BFD. The speaker itself looks at no TTL, so that
// anybody who can forge a peer's address, from wherever, could tell it that the peer is down.
func BFD(m *model.Model) []*intent.BFDGuard {
	self, s := m.Self(), &m.Settings
	if self == nil || !s.Router || asOf(m, self) == 0 {
		return nil
	}
	g := &intent.BFDGuard{Nodes: s.BGP.BFD != nil && s.BGP.IBGP && s.Routes.Source != sourceAPI}
	for _, n := range routers(m, self, &remarks{}) {
		if n.BFD != nil {
			g.Peers = append(g.Peers, intent.BFDPeer{Addr: n.Addr, MinTTL: leastTTL(m, self, n)})
		}
	}
	if !g.Nodes && len(g.Peers) == 0 {
		return nil
	}
	slices.SortFunc(g.Peers, func(a, b intent.BFDPeer) int {
		return cmp.Or(-cmp.Compare(a.MinTTL, b.MinTTL), a.Addr.Compare(b.Addr))
	})
	if g.Nodes {
		g.Near = near(m)
	}
	return []*intent.BFDGuard{g}
}

// leastTTL is the TTL that a router's BFD packets have at least: 255 in one hop (RFC 5881 section 5), what TTL security says
// where it is on, and anything from a router further away, for which RFC 5883 names none.
func leastTTL(m *model.Model, self *model.Node, n *intent.Neighbor) uint8 {
	switch {
	case n.MinTTL > 0:
		return n.MinTTL
	case n.TTL > 0: // multihop
		return 0
	case n.ASN != cmp.Or(n.LocalASN, uint32(asOf(m, self))) || m.LinkTo(n.Addr) != nil: // another AS is a hop away unless somebody says so
		return fullTTL
	}
	return 0
}

// near are the subnets that LinkTo knows, without those that lie within another.
func near(m *model.Model) []netip.Prefix {
	var all, list []netip.Prefix
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			if l.Up && !p.IsSingleIP() {
				all = append(all, p.Masked())
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	for _, p := range all {
		if len(list) == 0 || !list[len(list)-1].Overlaps(p) {
			list = append(list, p)
		}
	}
	return list
}
