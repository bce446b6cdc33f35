package nft

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
)

func TestEgress(t *testing.T) {
	pfx := netip.MustParsePrefix
	peer := Peer(&intent.Peer{
		Ranges: []netip.Prefix{pfx("10.245.1.0/24"), pfx("fd02::/64")},
		Addrs:  []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")},
	})
	rows := Egress(&intent.Egress{
		Pods:   []netip.Prefix{pfx("10.244.1.0/24"), pfx("fd01::/64")},
		Keep:   []netip.Prefix{pfx("10.0.0.1/32"), pfx("10.244.0.0/16"), pfx("fd00::1/128"), pfx("fd01::/64")},
		Refuse: []netip.Prefix{pfx("10.96.0.0/12")},
	})
	var b strings.Builder
	for _, r := range append(rows, peer...) {
		b.WriteString(strings.ReplaceAll(r.String(), " inet kube-router", "") + "\n")
	}
	want := `add set host-pods4 { type ipv4_addr ; flags interval ; }
add element host-pods4 { 10.244.1.0-10.244.1.255 }
add set host-keep4 { type ipv4_addr ; flags interval ; }
add element host-keep4 { 10.0.0.1 }
add element host-keep4 { 10.244.0.0-10.244.255.255 }
add set host-nodes4 { type ipv4_addr ; }
add set host-refuse4 { type ipv4_addr ; flags interval ; }
add element host-refuse4 { 10.96.0.0-10.111.255.255 }
add set host-pods6 { type ipv6_addr ; flags interval ; }
add element host-pods6 { fd01::-fd01::ffff:ffff:ffff:ffff }
add set host-keep6 { type ipv6_addr ; flags interval ; }
add element host-keep6 { fd00::1 }
add element host-keep6 { fd01::-fd01::ffff:ffff:ffff:ffff }
add set host-nodes6 { type ipv6_addr ; }
add chain host-masquerade { type nat hook postrouting priority 99 ; policy accept ; }
add rule host-masquerade meta nfproto ipv4 ip saddr @host-pods4 ip daddr != @host-keep4 ip daddr != @host-nodes4 masquerade fully-random
add rule host-masquerade meta nfproto ipv6 ip6 saddr @host-pods6 ip6 daddr != @host-keep6 ip6 daddr != @host-nodes6 masquerade fully-random
add chain host-forward { type filter hook forward priority 10 ; policy accept ; }
add rule host-forward meta nfproto ipv4 ip daddr @host-refuse4 meta l4proto tcp counter reject with tcp reset
add rule host-forward meta nfproto ipv4 ip daddr @host-refuse4 counter reject with icmpx port-unreachable
add chain host-output { type filter hook output priority 10 ; policy accept ; }
add rule host-output meta nfproto ipv4 ip daddr @host-refuse4 fib daddr type != local meta l4proto tcp counter reject with tcp reset
add rule host-output meta nfproto ipv4 ip daddr @host-refuse4 fib daddr type != local counter reject with icmpx port-unreachable
add set host-keep4 { type ipv4_addr ; flags interval ; }
add element host-keep4 { 10.245.1.0-10.245.1.255 }
add set host-nodes4 { type ipv4_addr ; }
add element host-nodes4 { 10.0.0.2 }
add set host-keep6 { type ipv6_addr ; flags interval ; }
add element host-keep6 { fd02::-fd02::ffff:ffff:ffff:ffff }
add set host-nodes6 { type ipv6_addr ; }
add element host-nodes6 { fd00::2 }
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
}
