package holder

import (
	"cmp"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Held is a range to which nobody outside may teach us a way, unless it is permitted on purpose: a prefix whose own
// length is from Min to Max bits and that lies in Prefix. A range around it is welcome, for longer prefixes win.
type Held struct {
	Prefix   netip.Prefix
	Min, Max uint8
	Why      string // "it lies in the subnet of eth0"
}

func inside(p netip.Prefix, why string) Held {
	return Held{p.Masked(), uint8(p.Bits()), uint8(p.Addr().BitLen()), why}
}

// Without are ranges without what lies in other prefixes: what is left of a range around one are its prefixes that are shorter than that, and those
// beside it on the way down.
func Without(list []Held, permitted []netip.Prefix) []Held {
	for _, p := range permitted {
		var left []Held
		for _, h := range list {
			left = append(left, h.without(p.Masked())...)
		}
		list = left
	}
	return list
}

func (h Held) without(p netip.Prefix) []Held {
	switch {
	case !h.Prefix.Overlaps(p) || int(h.Max) < p.Bits():
		return []Held{h}
	case p.Bits() <= h.Prefix.Bits():
		return nil // all of the range lies in it
	}
	var left []Held
	if int(h.Min) < p.Bits() {
		left = append(left, Held{h.Prefix, h.Min, uint8(p.Bits() - 1), h.Why})
	}
	for bits := h.Prefix.Bits() + 1; bits <= p.Bits(); bits++ {
		left = append(left, Held{sibling(netip.PrefixFrom(p.Addr(), bits).Masked()), max(h.Min, uint8(p.Bits())), h.Max, h.Why})
	}
	return left
}

// sibling is the other half of the prefix that is a bit shorter.
func sibling(p netip.Prefix) netip.Prefix {
	b, last := p.Addr().AsSlice(), p.Bits()-1
	b[last/8] ^= 1 << (7 - last%8)
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, p.Bits())
}

// covers tells whether a prefix is one of those meant.
func (h Held) covers(p netip.Prefix) bool {
	return uint8(p.Bits()) >= h.Min && uint8(p.Bits()) <= h.Max && h.Prefix.Bits() <= p.Bits() && h.Prefix.Contains(p.Addr())
}

// The shortest prefixes that are taken from outside: what is shorter is half of the Internet, or somebody's mistake.
const (
	shortest4 = 8
	shortest6 = 16
)

// Nowhere are the ranges that are never a destination beyond a router (RFC 6890), and prefixes too short to be meant.
func Nowhere() []Held {
	var list []Held
	for _, r := range []struct{ prefix, why string }{
		{"0.0.0.0/8", "it names no host"}, {"127.0.0.0/8", "it is for loopback"}, {"169.254.0.0/16", "it is for links"},
		{"224.0.0.0/4", "it is for multicast"}, {"255.255.255.255/32", "it is for broadcast"},
		{"::/128", "it names no host"}, {"::1/128", "it is for loopback"}, {"::ffff:0:0/96", "it is for IPv4 addresses within a host"},
		{"fe80::/10", "it is for links"}, {"ff00::/8", "it is for multicast"},
	} {
		list = append(list, inside(netip.MustParsePrefix(r.prefix), r.why))
	}
	const short = "it is shorter than any range that is meant (/8, in IPv6 /16)"
	return append(list,
		Held{netip.PrefixFrom(netip.IPv4Unspecified(), 0), 1, shortest4 - 1, short},
		Held{netip.PrefixFrom(netip.IPv6Unspecified(), 0), 1, shortest6 - 1, short})
}

// Home are the ranges held by this node and by the cluster as a whole: Services', and the subnets of this node's links.
func Home(m *model.Model) []Held {
	var list []Held
	s := &m.Settings
	for _, r := range []struct {
		ranges []netip.Prefix
		why    string
	}{
		{s.Services.ClusterRanges, "it lies in --service-cluster-ip-range"},
		{s.Services.ExternalRanges, "it lies in --service-external-ip-range"},
		{s.Allocator.Ranges, "it lies in --loadbalancer-ip-range"},
		{m.BalancerRanges()[len(s.Allocator.Ranges):], "it lies in an AddressPool"},
	} {
		for _, p := range r.ranges {
			list = append(list, inside(p, r.why))
		}
	}
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			if l.Up {
				list = append(list, inside(p, "it lies in the subnet of "+l.Name))
			}
		}
	}
	slices.SortFunc(list, func(a, b Held) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Why, b.Why))
	})
	return slices.CompactFunc(list, func(a, b Held) bool { return a.Prefix == b.Prefix })
}

// OfNode are the ranges that a node holds: its pods' and its addresses. Where nodes don't teach us the way to it, as
// between nodes of several AS, routers do: then its ranges as they are, and its addresses, are theirs to teach.
func OfNode(m *model.Model, name string) []Held {
	n := m.Nodes[name]
	if n == nil {
		return nil
	}
	var list []Held
	known := taughtInside(m, n)
	for _, p := range n.PodCIDRs {
		h := inside(p, "it lies in the pod range of node "+name)
		if !known {
			h.Min++
		}
		if h.Min <= h.Max {
			list = append(list, h)
		}
	}
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		if known || m.LinkTo(a) != nil {
			list = append(list, inside(netip.PrefixFrom(a, a.BitLen()), "it is the address of node "+name))
		}
	}
	return list
}

// taughtInside tells whether nodes teach each other a node's ranges, by a session or by reflectors, or the API does.
func taughtInside(m *model.Model, n *model.Node) bool {
	self := m.Self()
	b := &m.Settings.BGP
	switch {
	case m.Settings.Routes.Source == "api" || n.Name == m.Settings.Node:
		return true
	case !b.IBGP || self == nil:
		return false
	}
	return b.FullMesh || self.Options.ASN == n.Options.ASN
}

// MayTeach tells why a router outside may not teach us a prefix, or is empty. It is what the speaker's policy is made
// of: Nowhere, Home and OfNode of every node, unless permitted by flag or annotation.
func MayTeach(m *model.Model, p netip.Prefix) string {
	if p.Bits() == 0 {
		if AcceptsDefault(m) {
			return ""
		}
		return "a default route is taken from nobody without --accept-default-route"
	}
	if slices.ContainsFunc(Permitted(m), func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Contains(p.Addr()) }) {
		return ""
	}
	for _, h := range slices.Concat(Nowhere(), Home(m)) {
		if h.covers(p) {
			return h.Why
		}
	}
	for _, name := range m.NodesAround(p) {
		for _, h := range OfNode(m, name) {
			if h.covers(p) {
				return h.Why
			}
		}
	}
	return ""
}

// Permitted are the prefixes in which routers outside may teach this node anything, by flag or annotation.
func Permitted(m *model.Model) []netip.Prefix {
	list := slices.Clone(m.Settings.BGP.Accept)
	if n := m.Self(); n != nil {
		list = append(list, n.Options.Accept...)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// AcceptsDefault tells whether routers outside may teach this node a default route.
func AcceptsDefault(m *model.Model) bool {
	if n := m.Self(); n != nil && n.Options.AcceptDefault != nil {
		return *n.Options.AcceptDefault
	}
	return m.Settings.BGP.AcceptDefault
}
