package nft

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"kube-router/internal/intent"
)

// TestPacketsAffinityFlood: more clients of one front than its memory holds, as one machine with a /64 makes them, leave the clients of
// another theirs, those that come after too; and the flooded front still answers.
func TestPacketsAffinityFlood(t *testing.T) {
	c := newCast(t)
	calm := intent.Service{Front: intent.Front{Addr: netip.MustParseAddr("fd00:96::a"), Port: 80, Protocol: 6}, Backends: at(1, c.pods...), Affinity: time.Hour}
	flooded := calm
	flooded.Front = intent.Front{Addr: netip.MustParseAddr("fd00:96::b"), Port: 80, Protocol: 17}
	c.want(&calm, &flooded)
	before, err := c.outside.ask(calm.Front)
	c.must(err)

	flood(c.outside, flooded.Front, affinityLimit+1000)

	if got := c.outside.tally(calm.Front, 40); got[before.by] != 40 {
		t.Errorf("after the flood of another front: %v; want %s alone", got, before.by)
	}
	late, err := c.pods[0].ask(calm.Front)
	c.must(err)
	if got := c.pods[0].tally(calm.Front, 40); got[late.by] != 40 {
		t.Errorf("a client that came after the flood: %v; want %s alone", got, late.by)
	}
	if _, err := c.outside.ask(flooded.Front); err != nil {
		t.Errorf("the flooded front: %v; want an answer", err)
	}
	if got := c.pods[1].tally(flooded.Front, 40); len(got) == 1 {
		t.Errorf("a client that comes after the flood sticks to %v: the memory was not full, so this test shows nothing", got)
	}
}

// flood sends a packet from each of many addresses.
func flood(h *host, f intent.Front, clients int) {
	h.Helper()
	h.within(h.ns, func() {
		all := netip.MustParsePrefix("fd00:f100::/64")
		any := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { h.must(unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)) })
		}}
		p, err := any.ListenPacket(context.Background(), "udp6", "[::]:0")
		h.must(err)
		defer p.Close()
		c := ipv6.NewPacketConn(p)
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.Addr, f.Port))
		from := all.Addr().As16()
		for i := range clients {
			from[13], from[14], from[15] = byte(i>>16), byte(i>>8), byte(i)
			if _, err := c.WriteTo([]byte("?"), &ipv6.ControlMessage{Src: from[:]}, to); err != nil {
				h.Fatalf("packet %d: %v", i, err)
			}
		}
	})
}
