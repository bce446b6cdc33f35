//go:build interop

package interop

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
)

// TestBoundaryForgedReset sends resets in a node's name that are right in everything but the TTL, by which they have passed
// routers. The session between the nodes stands. The same with a TTL of 255 ends it, so the rest of them was right.
func TestBoundaryForgedReset(t *testing.T) {
	for _, c := range []struct {
		families lab.Families
		format   string
		args     []string
	}{{lab.DualStack, "172.30.0.%d", nil}, {lab.IPv6Only, "fd00:172:30::%d", []string{"--router-id=generate"}}} {
		t.Run(c.format, func(t *testing.T) {
			w := begin(t, lab.Config{Nodes: 2, Families: c.families}, c.args...)
			n1, n2 := addr(fmt.Sprintf(c.format, 11)), addr(fmt.Sprintf(c.format, 12))
			w.until("the nodes peer", 20*time.Second, func() error { return contains(w.show("n1", "peers"), n2.String(), "ESTABLISHED") })
			s := w.overhear(n1, n2)
			w.forge("r1", s, 250)
			time.Sleep(time.Second)
			if now := w.overhear(n1, n2); now.from != s.from || now.to != s.to {
				t.Errorf("a forged reset has ended the session: %v became %v", s, now)
			}
			s = w.overhear(n1, n2)
			w.forge("r1", s, 255)
			w.until("a reset with TTL 255 counts", 20*time.Second, func() error {
				if now := w.overhear(n1, n2); now.from == s.from && now.to == s.to {
					return fmt.Errorf("%v stands", now)
				}
				return nil
			})
		})
	}
}

// segment is a session between two nodes, as its first end last said where it was.
type segment struct {
	from, to netip.AddrPort
	expected uint32 // what from expects next
}

// overhear reads a packet of the session from one node to another, which a new announcement makes.
func (w *world) overhear(from, to netip.Addr) segment {
	w.t.Helper()
	var fd int
	n1 := w.node("n1")
	err := n1.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "packets")
	defer f.Close()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}); err != nil {
		w.t.Fatal(err)
	}
	var found segment
	pref := 100
	w.until("a packet of the session", 20*time.Second, func() error {
		pref++
		w.annotate("n1", "node.bgp.local-pref", fmt.Sprint(pref))
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			b := make([]byte, 2048)
			n, err := unix.Read(fd, b)
			if err != nil {
				continue
			}
			if s, ok := parse(b[:n], from, to); ok {
				found = s
				return nil
			}
		}
		return fmt.Errorf("none from %s to %s", from, to)
	})
	time.Sleep(300 * time.Millisecond) // what is on its way doesn't change what n1 expects: only n1 has spoken
	return found
}

// parse takes a TCP packet of BGP with data from one address to another.
func parse(b []byte, from, to netip.Addr) (s segment, ok bool) {
	head := 40
	if from.Is4() {
		head = 20
	}
	if len(b) < head+20 || int(b[0]>>4) != map[bool]int{true: 4, false: 6}[from.Is4()] {
		return s, false
	}
	src, dst, proto := b[8:24], b[24:40], b[6]
	if from.Is4() {
		src, dst, proto = b[12:16], b[16:20], b[9]
	}
	a, _ := netip.AddrFromSlice(src)
	z, _ := netip.AddrFromSlice(dst)
	tcp := b[head:]
	sport, dport := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	if proto != unix.IPPROTO_TCP || a != from || z != to || sport != 179 && dport != 179 || len(b) <= head+int(tcp[12]>>4)*4 {
		return s, false
	}
	return segment{netip.AddrPortFrom(a, sport), netip.AddrPortFrom(z, dport), binary.BigEndian.Uint32(tcp[8:])}, true
}

// forge sends a reset of the session in the other end's name.
func (w *world) forge(host string, s segment, ttl int) {
	w.t.Helper()
	src, dst := s.to.Addr().AsSlice(), s.from.Addr().AsSlice()
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, s.to.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.from.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.expected)
	tcp[12], tcp[13] = 5<<4, 4 // RST
	pseudo := append(append(append([]byte{}, src...), dst...), 0, unix.IPPROTO_TCP, 0, 20)
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	head := make([]byte, 40)
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: s.from.Addr().As16()})
	if s.from.Addr().Is4() {
		head = head[:20]
		head[0], head[8], head[9] = 0x45, byte(ttl), unix.IPPROTO_TCP
		binary.BigEndian.PutUint16(head[2:], 40)
		copy(head[12:], src)
		copy(head[16:], dst)
		family, to = unix.AF_INET, &unix.SockaddrInet4{Addr: s.from.Addr().As4()}
	} else {
		head[0], head[5], head[6], head[7] = 0x60, 20, unix.IPPROTO_TCP, byte(ttl)
		copy(head[8:], src)
		copy(head[24:], dst)
	}
	err := w.Host(host).Do(func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, append(head, tcp...), 0, to)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// checksum is that of the Internet (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
