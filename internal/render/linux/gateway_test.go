package linux

import (
	"net/netip"
	"testing"

	"kube-router/internal/intent"
)

func TestLeaving(t *testing.T) {
	pods := []netip.Prefix{pfx("10.244.1.0/24"), pfx("fd01::/64")}
	check(t, "straight", `
route default via 10.0.0.2 dev eth0 table 7707 proto 17
rule 32761: from 10.244.1.0/24 fwmark 0x70000/0x1fff0000 lookup 7707 proto 17
`, text(Leaving(&intent.Leaving{Addr: ip("203.0.113.7"), Slot: 7, Hop: &intent.Hop{Via: ip("10.0.0.2"), Dev: "eth0"}}, 0x70000, 0x1fff0000, pods)))
	check(t, "by a tunnel, IPv6", `
link tun-7b0785434fe mtu 1460 up type ip6tnl remote fd00:1::3 local fd00::1
route default dev tun-7b0785434fe table 7708 proto 17 mtu 1460
rule -6 32761: from fd01::/64 fwmark 0x80000/0x1fff0000 lookup 7708 proto 17
`, text(Leaving(&intent.Leaving{Addr: ip("2001:db8::7"), Slot: 8, Hop: &intent.Hop{Via: ip("fd00:1::3"), Tunnel: &intent.Tunnel{
		Encap: intent.IPIP, Local: ip("fd00::1"), Remote: ip("fd00:1::3"), MTU: 1460,
	}}}, 0x80000, 0x1fff0000, pods)))
	check(t, "here", "", text(Leaving(&intent.Leaving{Addr: ip("203.0.113.7"), Slot: 7, Here: true}, 0x70000, 0x1fff0000, pods)))
	check(t, "nowhere", "", text(Leaving(&intent.Leaving{Addr: ip("203.0.113.7"), Slot: 7}, 0x70000, 0x1fff0000, pods)))
}
