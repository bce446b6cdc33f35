//go:build interop

package interop

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// rawPeer is a session of AS 65001 spoken by hand.
type rawPeer struct {
	conn net.Conn
	said chan string // notifications, and the end of the connection
	open []byte      // the other side's OPEN
}

// The capabilities that a raw peer may offer: IPv4, IPv6, AS numbers of four octets.
var (
	capIPv4 = []byte{1, 4, 0, 1, 0, 1}
	capIPv6 = []byte{1, 4, 0, 2, 0, 1}
	capFour = []byte{65, 4, 0, 0, 0xfd, 0xe9}
)

// raw opens a session from an address of a host with a node.
func (w *world) raw(host, from, to string) *rawPeer {
	w.t.Helper()
	id := netip.MustParseAddr(from).As4()
	caps := slices.Concat(capIPv4, capIPv6, capFour)
	body := append([]byte{4, 0xfd, 0xe9, 0, 90}, id[:]...)
	body = append(append(body, byte(len(caps)+2), 2, byte(len(caps))), caps...)
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: once}
	p := &rawPeer{said: make(chan string, 100)}
	w.until("a session by hand", 20*time.Second, func() error {
		err := w.Host(host).Do(func() (err error) { p.conn, err = d.Dial("tcp", net.JoinHostPort(to, "179")); return err })
		if err != nil {
			return err
		}
		p.conn.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err = p.conn.Write(message(typeOpen, body...)); err == nil {
			p.open, err = next(p.conn)
		}
		if err == nil {
			_, err = p.conn.Write(message(typeKeepalive))
		}
		if err == nil {
			err = read(p.conn, typeKeepalive)
		}
		if err != nil {
			p.conn.Close()
		}
		return err
	})
	p.conn.SetDeadline(time.Time{})
	w.t.Cleanup(func() { p.conn.Close() })
	go func() {
		for {
			m, err := next(p.conn)
			if err != nil {
				p.said <- "end: " + err.Error()
				return
			}
			if m[18] == typeNotification {
				p.said <- fmt.Sprintf("notification %d/%d", m[19], m[20])
			}
		}
	}()
	return p
}

// next is the next message.
func next(conn net.Conn) ([]byte, error) {
	m := make([]byte, 19)
	if _, err := io.ReadFull(conn, m); err != nil {
		return nil, err
	}
	m = append(m, make([]byte, int(binary.BigEndian.Uint16(m[16:]))-19)...)
	_, err := io.ReadFull(conn, m[19:])
	return m, err
}

// stands is an error if the other side has ended the session.
func (p *rawPeer) stands() error {
	select {
	case s := <-p.said:
		return fmt.Errorf("the session ended: %s", s)
	default:
		return nil
	}
}

func (p *rawPeer) say(m []byte) { _, _ = p.conn.Write(m) }

// announcement is an UPDATE of these attributes and prefixes.
func announcement(attrs []byte, nlri ...byte) []byte {
	return message(typeUpdate, append(append([]byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}, attrs...), nlri...)...)
}

var (
	attrOrigin = []byte{0x40, 1, 1, 0}
	attrHop    = []byte{0x40, 3, 4, 172, 30, 0, 200}
	prefix198  = []byte{24, 198, 51, 100}
)

// asPath is an AS_PATH of 65001 and more.
func asPath(more ...uint32) []byte {
	v := []byte{2, byte(len(more) + 1), 0, 0, 0xfd, 0xe9}
	for _, as := range more {
		v = binary.BigEndian.AppendUint32(v, as)
	}
	return append([]byte{0x40, 2, byte(len(v))}, v...)
}

// reach6 is MP_REACH_NLRI of 2001:db8:51::/48 by the router's address.
func reach6() []byte {
	hop := netip.MustParseAddr(first6).As16()
	v := slices.Concat([]byte{0, 2, 1, 16}, hop[:], []byte{0, 48, 0x20, 1, 0x0d, 0xb8, 0, 0x51})
	return append([]byte{0x80, 14, byte(len(v))}, v...)
}

// TestBoundaryReplacedPath announces a prefix of each family well, and then so that the new path must not be used: the old one
// goes with it (RFC 4271 sections 3.1 and 9.1.2, RFC 7606 section 2, RFC 7607), and the session stays.
func TestBoundaryReplacedPath(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, peering(first)...)
	both := func(path []byte, more ...byte) []byte {
		return announcement(slices.Concat(reach6(), attrOrigin, path, attrHop, more), prefix198...)
	}
	good := both(asPath())
	p := w.raw("r1", first, "172.30.0.11")
	for _, c := range []struct {
		name  string
		m     []byte
		stays bool
	}{
		{"the same again", good, true},
		{"a longer path", both(asPath(65009)), true},
		{"our own AS in the path", both(asPath(64512)), false},
		{"AS 0 in the path", both(asPath(0)), false},
		{"attributes that overrun", both(asPath(), 0xc0, 8, 200, 1, 2, 3, 4), false},
		{"a community of three octets", both(asPath(), 0xc0, 8, 3, 1, 2, 3), false},
		{"an unknown attribute that is to be passed on", both(asPath(), 0xc0, 99, 2, 1, 2), true},
	} {
		p.say(good)
		w.until(c.name+": the good routes are there", 10*time.Second, func() error {
			if err := contains(w.routes("n1"), "198.51.100.0/24 via "+first, "2001:db8:51::/48 via "+first6); err != nil {
				return fmt.Errorf("%w\n%s", err, w.show("n1", "remarks"))
			}
			return nil
		})
		p.say(c.m)
		if c.stays {
			time.Sleep(300 * time.Millisecond)
			if err := contains(w.routes("n1"), "198.51.100.0/24", "2001:db8:51::/48"); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		} else {
			w.until(c.name+": the routes are gone", 5*time.Second, func() error { return lacks(w.routes("n1"), "198.51.100.0/24", "2001:db8:51::/48") })
		}
		if err := p.stands(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// TestBoundaryLoopLeavesTheOther has two routers teach one prefix, until one of them teaches it with our AS in its path.
func TestBoundaryLoopLeavesTheOther(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, peering(first, second)...)
	conf := birdPeers(first, first6, "65001", "", "172.30.0.11")
	one := w.bird("r1", conf)
	w.bird("r2", strings.ReplaceAll(birdPeers(second, second6, "65002", "", "172.30.0.11"), "198.51.101", "198.51.100"))
	w.until("two ways", 15*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24", "nexthop via "+first, "nexthop via "+second)
	})
	one.reconfigure(strings.ReplaceAll(conf, "export where source = RTS_STATIC;", "export filter { if source = RTS_STATIC then { bgp_path.prepend(64512); accept; } reject; };"))
	w.until("one way", 5*time.Second, func() error {
		if err := lacks(w.routes("n1"), "via "+first); err != nil {
			return err
		}
		return contains(w.routes("n1"), "198.51.100.0/24 via "+second)
	})
}

// TestBoundaryIPv4OverIPv6 peers over IPv6 alone with a router that would give IPv4 routes IPv6 next hops (RFC 8950), which we
// don't offer to take: it uses IPv4 ones.
func TestBoundaryIPv4OverIPv6(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, peering(first6)...)
	f := w.frr("r1", fmt.Sprintf(`log stdout warnings
router bgp 65001
 bgp router-id %s
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 neighbor fd00:172:30::11 remote-as 64512
 neighbor fd00:172:30::11 capability extended-nexthop
 neighbor fd00:172:30::11 timers connect 1
 address-family ipv4 unicast
  neighbor fd00:172:30::11 activate
  network 198.51.100.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor fd00:172:30::11 activate
  network 2001:db8:51::/48
 exit-address-family
`, first))
	f.says(20*time.Second, "show bgp ipv4 unicast", "10.244.1.0/24")
	w.until("n1 has routes of both families", 10*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24 via "+first, "2001:db8:51::/48 via")
	})
	if out := f.ask("show bgp neighbors fd00:172:30::11"); strings.Contains(out, "Extended nexthop: advertised and received") {
		t.Errorf("RFC 8950 is offered:\n%s", out)
	}
}
