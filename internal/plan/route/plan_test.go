package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(text string) []netip.Addr {
	var list []netip.Addr
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func node(name, ips, cidrs string) *model.Node {
	n := &model.Node{Name: name, InternalIPs: addrs(ips)}
	for _, s := range strings.Fields(cidrs) {
		n.PodCIDRs = append(n.PodCIDRs, pfx(s))
	}
	return n
}

// cluster has our node a, b in its subnets, c in others.
func cluster(change ...func(*model.Settings)) *model.Model {
	s := model.Settings{Node: "a", Router: true, IPv4: true, IPv6: true, Routes: model.RouteSettings{
		Source: "bgp", Overlay: true, OverlayType: "subnet", OverlayEncap: "ipip", OverlayPort: 5555,
	}}
	for _, f := range change {
		f(&s)
	}
	m := model.New(s)
	m.Put(node("a", "10.0.0.1 fd00::1", "10.244.1.0/24 fd01::/64"))
	m.Put(node("b", "10.0.0.2 fd00::2", "10.244.2.0/24 fd02::/64"))
	m.Put(node("c", "10.0.1.3 fd00:1::3", "10.244.3.0/24 fd03::/64"))
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{pfx("10.0.0.1/24"), pfx("fd00::1/64")}})
	return m
}

// text prints a result, one line each.
func text[T fmt.Stringer](list []T, remarks []model.Remark) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintln(&b, r)
	}
	for _, r := range remarks {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func TestPath(t *testing.T) {
	full := func(s *model.Settings) { s.Routes.OverlayType = "full" }
	off := func(s *model.Settings) { s.Routes.Overlay = false }
	api := func(s *model.Settings) { s.Routes.Source = SourceAPI }
	for _, c := range []struct {
		name, prefix, hops string
		external           bool
		change             []func(*model.Settings)
		want               string
	}{
		{name: "a node in our subnet is reached straight", prefix: "10.244.2.0/24", hops: "10.0.0.2",
			want: "10.244.2.0/24 via 10.0.0.2 dev eth0\n"},
		{name: "and so in IPv6", prefix: "fd02::/64", hops: "fd00::2", want: "fd02::/64 via fd00::2 dev eth0\n"},
		{name: "a node elsewhere through a tunnel", prefix: "10.244.3.0/24", hops: "10.0.1.3",
			want: "10.244.3.0/24 via ipip 10.0.0.1>10.0.1.3\n"},
		{name: "and so in IPv6", prefix: "fd03::/64", hops: "fd00:1::3", want: "fd03::/64 via ipip fd00::1>fd00:1::3\n"},
		{name: "every node through a tunnel with type full", prefix: "10.244.2.0/24", hops: "10.0.0.2", change: list(full),
			want: "10.244.2.0/24 via ipip 10.0.0.1>10.0.0.2\n"},
		{name: "a router in our subnet straight even then", prefix: "192.0.2.0/24", hops: "10.0.0.254", external: true, change: list(full),
			want: "192.0.2.0/24 via 10.0.0.254 dev eth0\n"},
		{name: "a node elsewhere without overlays is the network's", prefix: "10.244.3.0/24", hops: "10.0.1.3", change: list(off),
			want: "Path 10.244.3.0/24: next hop 10.0.1.3 of 10.244.3.0/24 not used: it is in no subnet of this node and overlays are off; the network must route it\n"},
		{name: "a router elsewhere gets no tunnel", prefix: "192.0.2.0/24", hops: "10.9.0.1",
			want: "Path 192.0.2.0/24: next hop 10.9.0.1 of 192.0.2.0/24 not used: it is neither a node nor in a subnet of this node; the network must route it\n"},
		{name: "equal hops share, whatever their order", prefix: "192.0.2.0/24", hops: "10.0.0.254 10.0.0.253 10.0.0.254", external: true,
			want: "192.0.2.0/24 via 10.0.0.253 dev eth0 via 10.0.0.254 dev eth0\n"},
		{name: "one bad hop leaves the others", prefix: "192.0.2.0/24", hops: "10.0.0.1 10.0.0.254", external: true,
			want: "192.0.2.0/24 via 10.0.0.254 dev eth0\nPath 192.0.2.0/24: next hop 10.0.0.1 of 192.0.2.0/24 not used: it is this node\n"},
		{name: "a hop of the other family", prefix: "192.0.2.0/24", hops: "fd00::2",
			want: "Path 192.0.2.0/24: next hop fd00::2 of 192.0.2.0/24 not used: it is of another family than the prefix\n"},
		{name: "our own range from outside", prefix: "10.244.1.128/25", hops: "10.0.0.254", external: true,
			want: "Path 10.244.1.128/25: ignored: it is part of this node's own pod range\n"},
		{name: "a range around ours is fine", prefix: "10.244.0.0/16", hops: "10.0.0.254", external: true,
			want: "10.244.0.0/16 via 10.0.0.254 dev eth0\n"},
		{name: "a subnet of ours", prefix: "10.0.0.0/24", hops: "10.0.0.254", external: true,
			want: "Path 10.0.0.0/24: ignored: it is a subnet of this node, at eth0\n"},
		{name: "and so in IPv6", prefix: "fd00::/64", hops: "fd00::fe", external: true,
			want: "Path fd00::/64: ignored: it is a subnet of this node, at eth0\n"},
		{name: "a part of a subnet of ours", prefix: "10.0.0.128/25", hops: "10.0.0.254", external: true,
			want: "Path 10.0.0.128/25: ignored: it lies in the subnet of eth0\n"},
		{name: "our own address", prefix: "10.0.0.1/32", hops: "10.0.0.254", external: true,
			want: "Path 10.0.0.1/32: ignored: it is this node's own address\n"},
		{name: "a node in our subnet", prefix: "10.0.0.2/32", hops: "10.0.0.254", external: true,
			want: "Path 10.0.0.2/32: ignored: it is node b, in a subnet of this node\n"},
		{name: "a node elsewhere is fine", prefix: "10.0.1.3/32", hops: "10.0.0.254", external: true,
			want: "10.0.1.3/32 via 10.0.0.254 dev eth0\n"},
		{name: "somebody else in our subnet", prefix: "10.0.0.9/32", hops: "10.0.0.254", external: true,
			want: "Path 10.0.0.9/32: ignored: it lies in the subnet of eth0\n"},
		{name: "the same where it is permitted", prefix: "10.0.0.9/32", hops: "10.0.0.254", external: true,
			change: list(func(s *model.Settings) { s.BGP.Accept = []netip.Prefix{pfx("10.0.0.0/28")} }),
			want:   "10.0.0.9/32 via 10.0.0.254 dev eth0\n"},
		{name: "a tunnel's end behind the tunnel", prefix: "10.0.1.0/24", hops: "10.0.1.3 10.0.0.254", external: true,
			want: "10.0.1.0/24 via 10.0.0.254 dev eth0\n" +
				"Path 10.0.1.0/24: next hop 10.0.1.3 of 10.0.1.0/24 not used: the tunnel to it would lead into itself\n"},
		{name: "a family that is off", prefix: "fd03::/64", hops: "fd00:1::3", change: list(func(s *model.Settings) { s.IPv6 = false }),
			want: "Path fd03::/64: ignored: IPv6 is not enabled\n"},
		{name: "nodes' ranges come from the API with --node-routes=api", prefix: "10.244.2.0/24", hops: "10.0.0.254", external: true, change: list(api)},
		{name: "external routes still come from BGP then", prefix: "192.0.2.0/24", hops: "10.0.0.254", external: true, change: list(api),
			want: "192.0.2.0/24 via 10.0.0.254 dev eth0\n"},
		{name: "no router", prefix: "10.244.2.0/24", hops: "10.0.0.2", change: list(func(s *model.Settings) { s.Router = false })},
	} {
		m := cluster(c.change...)
		m.Put(&model.Path{Prefix: pfx(c.prefix), NextHops: addrs(c.hops), External: c.external})
		if d := cmp.Diff(c.want, text(Path(m, pfx(c.prefix)))); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

func list(f ...func(*model.Settings)) []func(*model.Settings) { return f }

func TestTunnelKnowsItsMTUAndPort(t *testing.T) {
	for encap, want := range map[string][2]string{
		"ipip":  {"1480 0", "1460 0"},
		"fou":   {"1468 5555", "1448 5555"},
		"vxlan": {"1450 8472", "1430 8472"},
	} {
		m := cluster(func(s *model.Settings) { s.Routes.OverlayEncap = encap })
		for i, prefix := range []string{"10.244.3.0/24", "fd03::/64"} {
			m.Put(&model.Path{Prefix: pfx(prefix), NextHops: addrs([]string{"10.0.1.3", "fd00:1::3"}[i])})
			routes, _ := Path(m, pfx(prefix))
			tunnel := routes[0].Hops[0].Tunnel
			if have := fmt.Sprint(tunnel.MTU, " ", tunnel.Port); have != want[i] {
				t.Errorf("%s to %s: want MTU and port %s, have %s", encap, prefix, want[i], have)
			}
			if routes[0].Source != tunnel.Local {
				t.Errorf("%s to %s: the node's own packets come from %s", encap, prefix, routes[0].Source)
			}
		}
	}
}

func TestNode(t *testing.T) {
	api := func(s *model.Settings) { s.Routes.Source = SourceAPI }
	m := cluster(api)
	m.Put(node("d", "10.0.0.4", "10.244.4.0/24 fd04::/64"))
	m.Put(node("thief", "10.0.0.5", "10.244.1.0/25"))
	for _, c := range []struct{ name, want string }{
		{"a", ""},
		{"b", "10.244.2.0/24 via 10.0.0.2 dev eth0\nfd02::/64 via fd00::2 dev eth0\n"},
		{"c", "10.244.3.0/24 via ipip 10.0.0.1>10.0.1.3\nfd03::/64 via ipip fd00::1>fd00:1::3\n"},
		{"d", "10.244.4.0/24 via 10.0.0.4 dev eth0\nNode d: status.addresses: fd04::/64 has no route: the node has no IPv6 address\n"},
		{"thief", "Node thief: spec.podCIDRs: 10.244.1.0/25 leads to node a, which is older and has that range too, or one around it: give each node its own\n"},
		{"unknown", ""},
	} {
		if d := cmp.Diff(c.want, text(Node(m, c.name))); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
	if have := text(Node(cluster(), "b")); have != "" {
		t.Errorf("with routes from BGP: have %s", have)
	}
}

func TestSelf(t *testing.T) {
	drop := "refuse rest of 10.244.1.0/24\nrefuse rest of fd01::/64\n"
	routes, tables, remarks := Self(cluster())
	if have := text(routes, remarks) + text(tables, nil); have != drop+"tunnel nodes for [10.244.1.0/24 fd01::/64]\n" {
		t.Errorf("with overlays: have %s", have)
	}
	routes, tables, remarks = Self(cluster(func(s *model.Settings) { s.Routes.Overlay = false }))
	if have := text(routes, remarks) + text(tables, nil); have != drop {
		t.Errorf("without overlays: have %s", have)
	}
	whole := func(s *model.Settings) {
		s.Routes.Overlay, s.BGP.AdvertisePodCIDR = false, true
		s.BGP.AggregatePodCIDRs = []netip.Prefix{pfx("10.244.0.0/16"), pfx("fd01::/64"), pfx("10.244.7.1/16")}
	}
	routes, _, remarks = Self(cluster(whole))
	if have := text(routes, remarks); have != drop+"refuse rest of 10.244.0.0/16\n" {
		t.Errorf("with a range advertised in place of the nodes': have %s", have)
	}
	m := cluster(whole)
	m.Put(&model.Path{Prefix: pfx("10.244.0.0/16"), NextHops: addrs("10.0.0.254"), External: true})
	if have := text(Path(m, pfx("10.244.0.0/16"))); have != "Path 10.244.0.0/16: ignored: this node advertises it\n" {
		t.Errorf("the range that we advertise from a router: have %s", have)
	}
}

// TestKeptPath is about routes that an earlier life left in the kernel: where routes come from Node objects,
// one to a node that is gone by now must not come back as something that a router taught.
func TestKeptPath(t *testing.T) {
	api := func(s *model.Settings) { s.Routes.Source = SourceAPI }
	flag := func(s *model.Settings) { s.BGP.Peers = []model.Peer{{Addr: addrs("10.0.0.254")[0]}} }
	for _, c := range []struct {
		name, hops string
		change     []func(*model.Settings)
		own        []model.Peer
		want       string
	}{
		{name: "by BGP: until its peer is back", hops: "10.0.0.9", want: "10.244.9.0/24 via 10.0.0.9 dev eth0\n"},
		{name: "by API: a node's that is gone", hops: "10.0.0.9", change: list(api)},
		{name: "by API: a node's, and there is a router", hops: "10.0.0.9", change: list(api, flag)},
		{name: "by API: a router's", hops: "10.0.0.254", change: list(api, flag), want: "10.244.9.0/24 via 10.0.0.254 dev eth0\n"},
		{name: "by API: a router's of the annotation", hops: "10.0.0.253", change: list(api),
			own: []model.Peer{{Addr: addrs("10.0.0.253")[0]}}, want: "10.244.9.0/24 via 10.0.0.253 dev eth0\n"},
		{name: "by API: a router's of the annotation, but flags count", hops: "10.0.0.253", change: list(api, flag),
			own: []model.Peer{{Addr: addrs("10.0.0.253")[0]}}},
	} {
		m := cluster(c.change...)
		self := *m.Self()
		self.Options.Peers = c.own
		m.Put(&self)
		m.Put(&model.Path{Prefix: pfx("10.244.9.0/24"), NextHops: addrs(c.hops), External: true, Kept: true})
		if d := cmp.Diff(c.want, text(Path(m, pfx("10.244.9.0/24")))); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}
