package l2

import (
	"net/netip"
	"testing"
)

var (
	ours   = mac{2, 0, 0, 0, 0, 1}
	theirs = mac{2, 0, 0, 0, 0, 2}
	four   = netip.MustParseAddr("192.0.2.7")
	six    = netip.MustParseAddr("2001:db8::7")
	client = netip.MustParseAddr("192.0.2.9")
)

// TestAnnouncementsAreClaims: what we send is read by others as a claim to the address, and as such alone.
func TestAnnouncementsAreClaims(t *testing.T) {
	for _, a := range []netip.Addr{four, six} {
		for _, b := range [][]byte{announcement(a, ours, netip.MustParseAddr("fe80::1")), announcement(a, ours, netip.Addr{})} {
			if h, ok := parse(b); !ok || h.asks || h.addr != a || h.from != ours {
				t.Errorf("%s: %+v %v", a, h, ok)
			}
		}
	}
	if b := announcement(four, ours, netip.Addr{}); b[21] != 1 || b[0] != 0xff {
		t.Error("a gratuitous ARP that neighbours believe at once is a request to all")
	}
	if b := announcement(six, ours, netip.Addr{}); b[14+40+4] != override {
		t.Error("neighbours replace what they know by an advertisement with the override flag alone")
	}
}

func TestQuestions(t *testing.T) {
	ask := ether(broadcast, theirs, etherARP, arp(1, theirs, client, mac{}, four))
	h, ok := parse(ask)
	if !ok || !h.asks || h.addr != four || h.sender != client {
		t.Fatalf("%+v %v", h, ok)
	}
	if r, ok := parse(reply(h, ours, netip.Addr{})); !ok || r.asks || r.addr != four || r.from != ours {
		t.Errorf("the reply: %+v %v", r, ok)
	}
	probe, ok := parse(ether(broadcast, theirs, etherARP, arp(1, theirs, netip.IPv4Unspecified(), mac{}, four)))
	if !ok || !probe.asks || probe.sender.IsValid() {
		t.Errorf("a probe (RFC 5227): %+v %v", probe, ok)
	}
	ns := ether(mac{0x33, 0x33, 0xff, 0, 0, 7}, theirs, etherIPv6, neighbour(six, theirs, netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1:ff00:7"), 0))
	ns[14+40] = solicit
	h, ok = parse(ns)
	if !ok || !h.asks || h.addr != six || h.sender.IsValid() {
		t.Fatalf("a solicitation of who is about to take the address (RFC 4862): %+v %v", h, ok)
	}
	if b := reply(h, ours, netip.Addr{}); b[0] != 0x33 || b[14+40+4] != override {
		t.Error("who has no address yet is answered through all nodes, unsolicited")
	}
	ns[14+7] = 64
	if _, ok := parse(ns); ok {
		t.Error("a solicitation from beyond a router counts")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(announcement(four, ours, netip.Addr{}))
	f.Add(announcement(six, ours, netip.Addr{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parse(b); ok {
			if !h.addr.IsValid() || !h.addr.Is4() && !h.addr.Is6() {
				t.Errorf("%x: %+v", b, h)
			}
			if len(reply(h, ours, netip.Addr{})) == 0 {
				t.Errorf("%x: no reply", b)
			}
		}
	})
}
