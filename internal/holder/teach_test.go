package holder

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
)

// TestMayTeach asks for prefixes that a router outside may teach, and others.
func TestMayTeach(t *testing.T) {
	type change func(s *model.Settings, m *model.Model)
	none := func(*model.Settings, *model.Model) {}
	apart := func(s *model.Settings, _ *model.Model) { s.BGP.FullMesh = false }
	for _, c := range []struct {
		change  change
		prefix  string
		refused string // a part of the reason; empty: welcome
	}{
		{none, "198.51.100.0/24", ""}, {none, "10.0.0.0/8", ""}, {none, "192.168.0.0/16", ""}, {none, "240.1.0.0/16", ""}, {none, "2001:db8::/32", ""},
		{none, "10.244.0.0/16", ""}, {none, "10.0.0.0/16", ""}, {none, "fd00::/16", ""},
		{none, "0.0.0.0/0", "--accept-default-route"}, {none, "::/0", "--accept-default-route"},
		{none, "0.0.0.0/1", "shorter"}, {none, "4.0.0.0/7", "shorter"}, {none, "2000::/15", "shorter"}, {none, "::/1", "shorter"},
		{none, "0.0.0.0/8", "no host"}, {none, "127.0.0.1/32", "loopback"}, {none, "169.254.169.254/32", "links"}, {none, "239.0.0.0/8", "multicast"},
		{none, "255.255.255.255/32", "broadcast"}, {none, "::/128", "no host"}, {none, "::1/128", "loopback"}, {none, "fe80::/64", "links"}, {none, "ff05::/16", "multicast"},
		{none, "::ffff:10.0.0.0/120", "IPv4"},
		{none, "10.244.2.0/24", "node b"}, {none, "10.244.2.64/26", "node b"}, {none, "10.244.1.1/32", "node a"}, {none, "fd02::/64", "node b"}, {none, "fd02::/65", "node b"},
		{none, "10.96.7.0/24", "--service-cluster-ip-range"}, {none, "203.0.113.9/32", "--loadbalancer-ip-range"}, {none, "203.0.112.0/20", ""},
		{none, "10.0.0.128/25", "subnet of eth0"}, {none, "10.0.0.254/32", "subnet of eth0"}, {none, "10.0.0.0/24", "subnet of eth0"},
		{none, "10.0.1.3/32", "the address of node c"}, {none, "10.0.1.0/24", ""}, {none, "10.0.1.4/32", ""},
		// Nodes of another AS are reached through routers, which must teach their ranges as they are.
		{apart, "10.244.2.0/24", ""}, {apart, "10.244.2.64/26", "node b"}, {apart, "10.0.1.3/32", ""}, {apart, "10.0.0.2/32", "subnet of eth0"}, {apart, "10.244.1.0/24", "node a"},
		{func(s *model.Settings, _ *model.Model) { s.BGP.IBGP = false }, "10.244.2.0/24", ""},
		{func(s *model.Settings, _ *model.Model) { s.BGP.IBGP, s.Routes.Source = false, "api" }, "10.244.2.0/24", "node b"},
		{func(s *model.Settings, _ *model.Model) { s.BGP.AcceptDefault = true }, "::/0", ""},
		{func(s *model.Settings, _ *model.Model) { s.BGP.AcceptDefault = true }, "0.0.0.0/1", "shorter"},
		{func(s *model.Settings, _ *model.Model) {
			s.BGP.Accept = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")}
		}, "10.0.0.0/25", ""},
		{func(s *model.Settings, _ *model.Model) {
			s.BGP.Accept = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")}
		}, "10.0.0.0/24", "subnet of eth0"},
	} {
		s := model.Settings{Node: "a", Router: true, IPv4: true, IPv6: true, Routes: model.RouteSettings{Source: "bgp"}, BGP: model.BGPSettings{FullMesh: true, IBGP: true}}
		s.Services.ClusterRanges = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
		s.Allocator.Ranges = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		m := model.New(s)
		for i, n := range []struct{ name, addr, v4, v6 string }{
			{"a", "10.0.0.1", "10.244.1.0/24", "fd01::/64"}, {"b", "10.0.0.2", "10.244.2.0/24", "fd02::/64"}, {"c", "10.0.1.3", "10.244.3.0/24", "fd03::/64"},
		} {
			m.Put(&model.Node{Name: n.name, InternalIPs: []netip.Addr{netip.MustParseAddr(n.addr)}, Options: model.NodeOptions{ASN: model.ASN(65000 + i)},
				PodCIDRs: []netip.Prefix{netip.MustParsePrefix(n.v4), netip.MustParsePrefix(n.v6)}})
		}
		m.Put(&model.Link{Name: "eth0", Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
		c.change(&m.Settings, m)
		have := MayTeach(m, netip.MustParsePrefix(c.prefix))
		if (have == "") != (c.refused == "") || !strings.Contains(have, c.refused) {
			t.Errorf("%s: %q, want %q", c.prefix, have, c.refused)
		}
	}
}

// TestClaimants has ranges that several nodes have.
func TestClaimants(t *testing.T) {
	m := model.New(model.Settings{})
	for i, n := range []struct{ name, ranges string }{{"old", "10.1.0.0/24 10.2.0.0/24"}, {"b", "10.1.0.0/24 10.3.0.0/16"}, {"a", "10.1.0.0/24 10.3.7.0/24"}, {"part", "10.1.0.128/25"}} {
		node := &model.Node{Name: n.name, Created: time.Unix(int64(max(i, 1)), 0)}
		if i == 0 {
			node.Created = time.Unix(0, 0)
		}
		for _, r := range strings.Fields(n.ranges) {
			node.PodCIDRs = append(node.PodCIDRs, netip.MustParsePrefix(r))
		}
		m.Put(node)
	}
	for prefix, want := range map[string]string{
		"10.1.0.0/24": "old b a", "10.1.0.128/25": "old b a part", "10.2.0.0/24": "old", "10.3.7.0/24": "b a", "10.3.0.0/16": "b", "10.3.8.1/32": "b", "10.9.0.0/24": "",
	} {
		var names []string
		for _, n := range Claimants(m, netip.MustParsePrefix(prefix)) {
			names = append(names, n.Name)
		}
		if have := strings.Join(names, " "); have != want {
			t.Errorf("%s: %s, want %s", prefix, have, want)
		}
	}
	if have := strings.Join(Overlapping(m, m.Nodes["old"]), " "); have != "a b part" {
		t.Errorf("overlapping: %s", have)
	}
}

// TestWithout: a range without what is permitted in it is what is asked for prefix by prefix.
func TestWithout(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	prefix := func(least int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(4)), byte(r.IntN(4))})
		return netip.PrefixFrom(a, least+r.IntN(33-least)).Masked()
	}
	for range 2000 {
		h := inside(prefix(8), "")
		if r.IntN(2) == 0 {
			h.Min, h.Max = uint8(h.Prefix.Bits()+r.IntN(33-h.Prefix.Bits())), 32
		}
		permitted := []netip.Prefix{prefix(8), prefix(8)}
		left := Without([]Held{h}, permitted)
		for range 50 {
			p := prefix(4)
			want := h.covers(p)
			for _, o := range permitted {
				want = want && !(o.Bits() <= p.Bits() && o.Contains(p.Addr()))
			}
			if have := slices.ContainsFunc(left, func(l Held) bool { return l.covers(p) }); have != want {
				t.Fatalf("%s in %v without %v: %t, want %t (%v)", p, h, permitted, have, want, left)
			}
		}
	}
}
