package linux

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

func text[T fmt.Stringer](rows []T) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func check(t *testing.T, name, want, have string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimPrefix(want, "\n"), have); d != "" {
		t.Errorf("%s: want - have +:\n%s", name, d)
	}
}

func TestRoute(t *testing.T) {
	t4 := func(e intent.Encap, port uint16, mtu int) *intent.Route {
		return &intent.Route{Prefix: pfx("10.244.3.0/24"), Source: ip("10.0.0.1"), Hops: []intent.Hop{{
			Via: ip("10.0.1.3"), Tunnel: &intent.Tunnel{Encap: e, Local: ip("10.0.0.1"), Remote: ip("10.0.1.3"), Port: port, MTU: mtu},
		}}}
	}
	t6 := func(e intent.Encap, port uint16, mtu int) *intent.Route {
		return &intent.Route{Prefix: pfx("fd03::/64"), Source: ip("fd00::1"), Hops: []intent.Hop{{
			Via: ip("fd00:1::3"), Tunnel: &intent.Tunnel{Encap: e, Local: ip("fd00::1"), Remote: ip("fd00:1::3"), Port: port, MTU: mtu},
		}}}
	}
	check(t, "drop", `
route unreachable 10.244.1.0/24 proto 17 metric 65535
`, text(Route(&intent.Route{Prefix: pfx("10.244.1.0/24"), Refuse: true})))
	check(t, "straight", `
route 10.244.2.0/24 via 10.0.0.2 dev eth0 proto 17
`, text(Route(&intent.Route{Prefix: pfx("10.244.2.0/24"), Hops: []intent.Hop{{Via: ip("10.0.0.2"), Dev: "eth0"}}})))
	check(t, "several", `
route 10.9.0.0/16 proto 17 nexthop via 10.0.0.2 dev eth0 nexthop via 10.0.5.2 dev eth1
`, text(Route(&intent.Route{Prefix: pfx("10.9.0.0/16"), Hops: []intent.Hop{
		{Via: ip("10.0.5.2"), Dev: "eth1"}, {Via: ip("10.0.0.2"), Dev: "eth0"},
	}})))
	check(t, "ipip", `
link tun-49a55e4b170 mtu 1480 up type ipip remote 10.0.1.3 local 10.0.0.1
route 10.0.1.3 dev tun-49a55e4b170 table 77 proto 17
route 10.244.3.0/24 dev tun-49a55e4b170 proto 17 src 10.0.0.1 mtu 1480
`, text(Route(t4(intent.IPIP, 0, 1480))))
	check(t, "fou, IPv6", `
fou port 5555 gue -6
link tun-7b0785434fe mtu 1448 up type ip6tnl remote fd00:1::3 local fd00::1 encap gue encap-dport 5555
route fd00:1::3 dev tun-7b0785434fe table 77 proto 17
route fd03::/64 dev tun-7b0785434fe proto 17 src fd00::1 mtu 1448
`, text(Route(t6(intent.FOU, 5555, 1448))))
	check(t, "vxlan", `
link kube-vxlan mtu 1450 address 0a:4d:0a:00:00:01 up type vxlan id 77 local 10.0.0.1 dstport 8472 nolearning
neigh 10.0.1.3 dev kube-vxlan lladdr 0a:4d:0a:00:01:03
fdb 0a:4d:0a:00:01:03 dev kube-vxlan dst 10.0.1.3
route 10.0.1.3 via 10.0.1.3 dev kube-vxlan onlink table 77 proto 17
route 10.244.3.0/24 via 10.0.1.3 dev kube-vxlan onlink proto 17 src 10.0.0.1 mtu 1450
`, text(Route(t4(intent.VXLAN, 8472, 1450))))
	check(t, "vxlan, IPv6", `
link kube-vxlan6 mtu 1430 address 6a:46:5f:2b:de:cd up type vxlan id 77 local fd00::1 dstport 8472 nolearning
neigh fe80::3c1f:85ff:fee6:3e73 dev kube-vxlan6 lladdr 3e:1f:85:e6:3e:73
fdb 3e:1f:85:e6:3e:73 dev kube-vxlan6 dst fd00:1::3
route fd00:1::3 via fe80::3c1f:85ff:fee6:3e73 dev kube-vxlan6 table 77 proto 17
route fd03::/64 via fe80::3c1f:85ff:fee6:3e73 dev kube-vxlan6 proto 17 src fd00::1 mtu 1430
`, text(Route(t6(intent.VXLAN, 8472, 1430))))
	check(t, "rules", `
rule 32763: from 10.244.1.0/24 lookup 77 proto 17
rule -6 32763: from fd01::/64 lookup 77 proto 17
`, text(PodTable(&intent.PodTable{Sources: []netip.Prefix{pfx("10.244.1.0/24"), pfx("fd01::/64")}})))
}

func TestTunnelsToAddressesOfEqualDigitsDiffer(t *testing.T) {
	a, b := ip("10.0.11.1"), ip("10.0.1.11")
	if x, y := tunnelHop(&intent.Tunnel{Encap: intent.IPIP, Remote: a}), tunnelHop(&intent.Tunnel{Encap: intent.IPIP, Remote: b}); x == y {
		t.Errorf("%s and %s share %s", a, b, x)
	}
}

func TestHost(t *testing.T) {
	h := &intent.Host{V4: true, V6: true, Uplinks: []string{"eth0.7"}, Bridge: true, MTU: 1480, Bridged: true, Proxy: true, CNI: &intent.CNI{
		File: "/etc/cni/net.d/10-kuberouter.conflist", Ranges: []netip.Prefix{pfx("10.244.1.0/24"), pfx("fd01::/64")}, MTU: 1480, Socket: "/run/s",
	}}
	check(t, "links", "link kube-bridge mtu 1480 up type bridge\n", text(Links(h)))
	check(t, "sysctls", `
net.ipv4.ip_forward = 1
net.ipv4.conf.eth0/7.rp_filter = 2 (where it was 1)
net.ipv4.conf.kube-bridge.rp_filter = 2 (where it was 1)
net.ipv4.conf.all.rp_filter = 2 (where it was 1)
net.ipv6.conf.all.forwarding = 1
net.ipv6.conf.kube-bridge.accept_ra = 0
net.ipv6.conf.kube-bridge.keep_addr_on_down = 1
net.ipv6.conf.eth0/7.accept_ra = 2 (where it was 1)
net.ipv4.neigh.kube-bridge.retrans_time_ms = 100
net.ipv6.neigh.kube-bridge.retrans_time_ms = 100
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.bridge.bridge-nf-filter-vlan-tagged = 1
net.netfilter.nf_conntrack_tcp_timeout_close_wait = 3600
`, text(Sysctls(h)))
	check(t, "file", "cni /etc/cni/net.d/10-kuberouter.conflist range 10.244.1.0/24 range fd01::/64 mtu 1480 wait /run/s\n", text(Conflists(h)))
	bare := &intent.Host{V4: true}
	check(t, "without bridge", "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 2 (where it was 1)\n",
		text(Links(bare))+text(Sysctls(bare))+text(Conflists(bare)))
}
