package nft

import (
	"net/netip"
	"slices"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// TestBFDGuard follows BFD packets of peers and others, with their TTLs.
func TestBFDGuard(t *testing.T) {
	ip, pfx := netip.MustParseAddr, netip.MustParsePrefix
	rows := BFDGuard(&intent.BFDGuard{Nodes: true, Near: []netip.Prefix{pfx("10.0.0.0/24"), pfx("fd00::/64")}, Peers: []intent.BFDPeer{
		{Addr: ip("10.0.0.200"), MinTTL: 255}, {Addr: ip("fd00::200"), MinTTL: 255}, {Addr: ip("2001:db8::3"), MinTTL: 253}, {Addr: ip("192.0.2.9")}}})
	rows = append(rows, Peer(&intent.Peer{Addrs: []netip.Addr{ip("10.0.0.2"), ip("10.7.0.3"), ip("fd00::2")}})...)
	tracer := row.NewNftTracer(slices.Values(rows))
	for _, c := range []struct {
		from  string
		ttl   uint8
		port  uint16
		taken bool
	}{
		{"10.0.0.2", 255, 3784, true}, {"10.0.0.2", 254, 3784, false}, // a node in our subnet
		{"fd00::2", 255, 3784, true}, {"fd00::2", 64, 3784, false},
		{"10.7.0.3", 254, 3784, true}, {"10.7.0.3", 20, 3784, true}, // and one behind routers
		{"10.0.0.200", 255, 3784, true}, {"10.0.0.200", 254, 3784, false},
		{"fd00::200", 255, 3784, true}, {"fd00::200", 254, 3784, false},
		{"2001:db8::3", 253, 3784, true}, {"2001:db8::3", 255, 3784, true}, {"2001:db8::3", 252, 3784, false},
		{"192.0.2.9", 1, 3784, true},
		{"10.0.0.3", 255, 3784, false}, {"fd00::3", 255, 3784, false}, {"10.8.0.3", 255, 3784, false}, // nobody's
		{"10.0.0.3", 9, 53, true},
	} {
		p := row.NftPacket{Src: ip(c.from), Dst: ip("10.0.0.1"), Protocol: protoUDP, DstPort: c.port, TTL: c.ttl, DstLocal: true}
		if p.Src.Is6() {
			p.Dst = ip("fd00::1")
		}
		trail, err := tracer.Trace(row.NftInput, "", p)
		if err != nil || trail.Accepted() != c.taken {
			t.Errorf("from %s with TTL %d to port %d: taken %t, %v\n%s", c.from, c.ttl, c.port, trail.Accepted(), err, trail)
		}
	}
}
