package alive

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// way is one kind of socket: a family and a link.
type way struct {
	v4   bool
	link string
}

// sockets are raw ICMP sockets, opened as they are needed.
type sockets struct {
	id uint16 // tells our answers from those to others

	mu    sync.Mutex
	open  map[way]net.PacketConn
	ctx   context.Context // set by run
	heard func(netip.Addr, string, uint16)
	wg    sync.WaitGroup
}

func newSockets() *sockets {
	return &sockets{id: uint16(rand.N(1 << 16)), open: map[way]net.PacketConn{}}
}

// run hears answers until ctx ends.
func (s *sockets) run(ctx context.Context, heard func(netip.Addr, string, uint16)) error {
	s.mu.Lock()
	s.ctx, s.heard = ctx, heard
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	for w, c := range s.open {
		_ = c.Close()
		delete(s.open, w)
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// send asks a target.
func (s *sockets) send(t Target, seq uint16) error {
	w := way{t.Addr.Is4(), t.Link}
	c, err := s.socket(w)
	if err != nil {
		return err
	}
	_, err = c.WriteTo(request(w.v4, s.id, seq), &net.IPAddr{IP: t.Addr.AsSlice()})
	if err != nil {
		s.drop(w, c) // the link may have gone and come again
	}
	return err
}

// socket finds or opens the socket of a way.
func (s *sockets) socket(w way) (net.PacketConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.open[w]; c != nil {
		return c, nil
	}
	if s.ctx == nil || s.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	network, addr := "ip6:ipv6-icmp", "::"
	if w.v4 {
		network, addr = "ip4:icmp", "0.0.0.0"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if bad := raw.Control(func(fd uintptr) { err = prepare(int(fd), w) }); bad != nil {
			return bad
		}
		return err
	}}
	c, err := lc.ListenPacket(s.ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("open an ICMP socket: %w", err)
	}
	s.open[w] = c
	s.wg.Go(func() { s.read(w, c) })
	return c, nil
}

// absent asks the neighbour table of the link that leads to a target. Who is reached through a router is never absent, for all that we know.
func (s *sockets) absent(t Target) bool {
	link := 0
	if t.Link != "" {
		l, err := net.InterfaceByName(t.Link)
		if err != nil {
			return false
		}
		link = l.Index
	} else if routes, err := netlink.RouteGet(t.Addr.AsSlice()); err == nil && len(routes) == 1 && routes[0].Gw == nil && routes[0].Via == nil {
		link = routes[0].LinkIndex
	}
	if link == 0 {
		return false
	}
	family := uint8(unix.AF_INET6)
	if t.Addr.Is4() {
		family = unix.AF_INET
	}
	ask := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0) // one neighbour and no dump: Linux 5.0
	ask.AddData(&netlink.Ndmsg{Family: family, Index: uint32(link)})
	ask.AddData(nl.NewRtAttr(netlink.NDA_DST, t.Addr.AsSlice()))
	found, err := ask.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil || len(found) != 1 {
		return false
	}
	n, err := netlink.NeighDeserialize(found[0])
	return err == nil && n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) != 0
}

func (s *sockets) drop(w way, c net.PacketConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[w] == c {
		delete(s.open, w)
	}
	_ = c.Close()
}

// prepare lets answers alone through to a socket, for a node may be asked by thousands of others, and binds it to a link.
func prepare(fd int, w way) error {
	if w.link != "" {
		if err := unix.BindToDevice(fd, w.link); err != nil {
			return fmt.Errorf("bind to %s: %w", w.link, err)
		}
	}
	if w.v4 {
		return unix.SetsockoptInt(fd, unix.SOL_RAW, unix.ICMP_FILTER, ^(1 << echoReply))
	}
	f := unix.ICMPv6Filter{}
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}

func (s *sockets) read(w way, c net.PacketConn) {
	buf := make([]byte, 128)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			s.drop(w, c)
			return
		}
		ip, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(ip.IP)
		if seq, ok := answer(w.v4, s.id, buf[:n]); ok {
			s.heard(addr.Unmap(), w.link, seq)
		}
	}
}

// The types of ICMP (RFC 792) and ICMPv6 (RFC 4443) messages.
const (
	echoReply    = 0
	echoRequest  = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// request is an echo request. The checksum of ICMPv6 is the kernel's to fill in (RFC 3542, section 3.1).
func request(v4 bool, id, seq uint16) []byte {
	b := []byte{echoRequest6, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	if v4 {
		b[0] = echoRequest
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// answer reads an echo reply to a request of ours.
func answer(v4 bool, id uint16, b []byte) (seq uint16, ok bool) {
	want := byte(echoReply6)
	if v4 {
		want = echoReply
	}
	if len(b) < 8 || b[0] != want || b[1] != 0 || binary.BigEndian.Uint16(b[4:]) != id {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[6:]), true
}

// checksum is the Internet checksum (RFC 1071) of a message of even length.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
