//go:build boundaries

package boundaries

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const peerPods = `
{apiVersion: v1, kind: Pod, metadata: {name: near}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: far}, spec: {nodeName: n2, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
`

// peerBird is a router of n1 over both families, watched by BFD, that teaches networks of its own and what isn't its to teach: the
// address of n2, and halves of the nodes' subnets.
const peerBird = `log stderr all;
router id 172.30.0.200;
protocol device { scan time 1; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; }
protocol static { ipv4; route 198.51.100.0/24 blackhole; route 172.30.0.12/32 blackhole; route 172.30.0.0/25 blackhole; route 172.30.0.128/25 blackhole; }
protocol static { ipv6; route 2001:db8:51::/48 blackhole; route fd00:172:30::12/128 blackhole; route fd00:172:30::/65 blackhole; }
protocol bfd { interface "eth0" { min rx interval 250 ms; min tx interval 250 ms; multiplier 10; }; }
protocol bgp four {
  local 172.30.0.200 as 65001; neighbor 172.30.0.11 as 64512; connect retry time 1; connect delay time 1; error wait time 1, 2; bfd on;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; next hop address fd00:172:30::200; };
}
protocol bgp six {
  local fd00:172:30::200 as 65001; neighbor fd00:172:30::11 as 64512; connect retry time 1; connect delay time 1; error wait time 1, 2; bfd on;
  ipv6 { import none; export none; };
}
`

// peerWorld is a lab of two nodes in one subnet with BFD, and beside them a router and somebody who is nobody's peer.
type peerWorld struct {
	*world
	t      *testing.T
	n1, n2 *lab.Node
	router *lab.Host // peer of n1
	other  *lab.Host
	bfd    *bfdEar
}

// TestPeers has hosts speak to n1 in its peers' names. What they send ends no session and leads nothing astray, while pods of
// both nodes talk; and peers that are really gone are noticed.
func TestPeers(t *testing.T) {
	w := &peerWorld{t: t, world: start(t, lab.Config{
		Nodes: 2, Hosts: []lab.HostConfig{
			{Name: "r1", Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32"), netip.MustParsePrefix("2001:db8:51::9/128")}}, {Name: "r2"}},
		DaemonArgs: []string{"--enable-bfd", "--bfd-detection-multiplier=10", "--bfd-desired-min-tx-interval=250", "--bfd-required-min-rx-interval=250",
			"--peer-router-ips=172.30.0.200,fd00:172:30::200", "--peer-router-asns=65001,65001"},
	})}
	w.n1, w.n2, w.router, w.other = w.Node("n1"), w.Node("n2"), w.Host("r1"), w.Host("r2")
	if err := errors.Join(w.Apply(w.ctx, peerPods), w.WaitReady(w.ctx), w.startBird()); err != nil {
		t.Fatal(err)
	}
	w.bfd = hearBFD(t, w.n1.Host)
	for _, peer := range []netip.Addr{w.n2.IPv4(), w.router.IPv4(), w.router.IPv6()} {
		w.until("BFD with "+peer.String(), 30*time.Second, func() error {
			if s := w.session(peer); s.BFD != "UP" || s.Session != "ESTABLISHED" || w.bfd.of(peer) == 0 {
				return fmt.Errorf("%+v, of which n1 hears %x", s, w.bfd.of(peer))
			}
			return nil
		})
	}
	ended := w.talk()
	for _, peer := range []netip.Addr{w.n2.IPv4(), w.router.IPv4(), w.router.IPv6()} {
		w.forgedBFD(peer)
	}
	w.forgedBGP()
	w.taught()
	judge(t, "pods talk all the while", ended())
	w.rightfulBFD()
}

// startBird starts the router.
func (w *peerWorld) startBird() error {
	if err := os.WriteFile(filepath.Join(w.Dir(), "r1", "run", "bird.conf"), []byte(peerBird), 0o644); err != nil {
		return err
	}
	cmd := w.router.Command(context.Background(), "/usr/sbin/bird", "-f", "-c", "/run/bird.conf", "-s", "/run/bird.ctl", "-P", "/run/bird.pid")
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

func (w *peerWorld) until(what string, limit time.Duration, ask func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	if err := w.Until(ctx, what, ask); err != nil {
		w.t.Fatal(err)
	}
}

// peerSession is what n1 says of a session.
type peerSession struct {
	Addr         netip.Addr
	Session, BFD string
	Since        time.Time
	Flaps        uint32
}

func (w *peerWorld) session(peer netip.Addr) peerSession {
	w.t.Helper()
	var list []peerSession
	out := mustRun(w.t, w.world, w.n1.Host, programs+"/kube-router", "show", "peers", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	for _, s := range list {
		if s.Addr == peer {
			return s
		}
	}
	return peerSession{}
}

// talk has the pods of both nodes ask each other until the end, which tells of the first that got no answer.
func (w *peerWorld) talk() (end func() string) {
	ctx, cancel := context.WithCancel(w.ctx)
	var all sync.WaitGroup
	var mu sync.Mutex
	var bad []string
	near, far := w.Pod("default/near"), w.Pod("default/far")
	for i := range near.Addrs() {
		for _, pair := range [][2]*lab.Host{{near, far}, {far, near}} {
			all.Go(func() {
				tally, err := pair[0].Load(ctx, probe.Request{To: netip.AddrPortFrom(pair[1].Addrs()[i], 8080), Timeout: 5 * time.Second}, 10, 1)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || !tally.OK() {
					bad = append(bad, fmt.Sprintf("%s to %s: %v, %v", pair[0].Name, pair[1].Addrs()[i], tally, err))
				}
			})
		}
	}
	return func() string {
		cancel()
		all.Wait()
		return strings.Join(bad, "; ")
	}
}

// forgedMultiplier tells forged BFD packets from others.
const forgedMultiplier = 77

// bfdPacket is a BFD control packet (RFC 5880 section 4.1) that says that the sender's end is in a state, 0 being AdminDown and 1 Down.
func bfdPacket(state byte, discriminator uint32) string {
	b := []byte{1 << 5, state << 6, forgedMultiplier, 24}
	b = binary.BigEndian.AppendUint32(b, discriminator)
	b = append(b, 0, 0, 0, 0)
	for _, n := range []uint32{250_000, 250_000, 0} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return string(b)
}

// forge sends n1 a BFD packet in a peer's name that knows all that there is to know.
func (w *peerWorld) forge(from *lab.Host, as netip.Addr, ttl, state byte, discriminator uint32) {
	w.t.Helper()
	to := w.n1.IPv4()
	if as.Is6() {
		to = w.n1.IPv6()
	}
	p := packet(as, to, protoUDP, udp(netip.AddrPortFrom(as, 49152), netip.AddrPortFrom(to, 3784), bfdPacket(state, discriminator)))
	if as.Is6() {
		p[7] = ttl
	} else {
		p[8] = ttl
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	}
	if err := raw(from, to, p); err != nil {
		w.t.Fatal(err)
	}
}

// forgedBFD says to n1 that a peer is down, in its name from elsewhere and in a stranger's.
func (w *peerWorld) forgedBFD(peer netip.Addr) {
	before, discriminator := w.session(peer), w.bfd.of(peer)
	stranger := w.other.IPv4()
	if peer.Is6() {
		stranger = w.other.IPv6()
	}
	for _, state := range []byte{0, 1} {
		for range 3 {
			w.forge(w.Outside(), peer, 255, state, discriminator) // all that there is, of which the router takes one
			w.forge(w.other, peer, 254, state, discriminator)
			w.forge(w.other, peer, 64, state, discriminator)
			w.forge(w.other, stranger, 255, state, discriminator)
		}
	}
	time.Sleep(time.Second) // a session that has heard them ends within
	complaint := ""
	if n := w.bfd.forged(); n > 0 {
		complaint = fmt.Sprintf("n1 has taken %d packets; ", n)
	}
	if after := w.session(peer); after != before {
		complaint += fmt.Sprintf("the session was %+v and is %+v", before, after)
	}
	judge(w.t, "forged BFD of "+peer.String(), complaint)
}

// forgedBGP calls n1 from beyond the router as n2: under its address, and under its name in the OPEN.
func (w *peerWorld) forgedBGP() {
	out := w.Outside()
	for i, peer := range w.n2.Addrs() {
		before := w.session(w.n2.IPv4())
		mustRun(w.t, w.world, out, "ip", "addr", "add", peer.String(), "dev", "lo")
		complaint := ""
		for _, from := range []netip.Addr{peer, out.Addrs()[i]} {
			if said := w.call(from, w.n1.Addrs()[i]); said != "" {
				complaint += fmt.Sprintf("as %s n1 answers %q; ", from, said)
			}
		}
		mustRun(w.t, w.world, out, "ip", "addr", "del", peer.String(), "dev", "lo")
		if after := w.session(w.n2.IPv4()); after != before {
			complaint += fmt.Sprintf("the session was %+v and is %+v", before, after)
		}
		judge(w.t, "BGP from beyond the router as "+peer.String(), complaint)
	}
}

// call opens a session as n2 of AS 64512, and returns what is answered to its OPEN.
func (w *peerWorld) call(from, to netip.Addr) (answer string) {
	open := slices.Concat(slices.Repeat([]byte{0xff}, 16), []byte{0, 29, 1, 4, 0xfc, 0, 0, 90, 172, 30, 0, 12, 0})
	w.t.Helper()
	if err := w.Outside().Do(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 2 * time.Second}
		c, err := d.Dial("tcp", netip.AddrPortFrom(to, 179).String())
		if err != nil {
			return nil // nobody answers, or refuses
		}
		defer c.Close()
		if _, err = c.Write(open); err != nil {
			return nil
		}
		if err = c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		answer = string(b[:n])
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// taught sends by what the router has taught: to its own networks by it, to n2 and its neighbours directly.
func (w *peerWorld) taught() {
	for _, to := range []string{"198.51.100.9", "2001:db8:51::9"} {
		a := netip.MustParseAddr(to)
		w.until("n1 reaches "+to, 20*time.Second, func() error { return echo(w.n1.Host, a) })
		complaint := ""
		if err := echo(w.Pod("default/near"), a); err != nil {
			complaint = err.Error()
		}
		judge(w.t, "a pod reaches what the router teaches: "+to, complaint)
	}
	for _, to := range slices.Concat(w.n2.Addrs(), w.other.Addrs()) {
		complaint := ""
		if err := echo(w.n1.Host, to); err != nil {
			complaint = err.Error()
		}
		family := "-4"
		if to.Is6() {
			family = "-6"
		}
		if way := mustRun(w.t, w.world, w.n1.Host, "ip", family, "route", "get", to.String()); strings.Contains(way, "via") {
			complaint += " it goes " + way
		}
		judge(w.t, "directly to "+to.String()+" whatever the router teaches", complaint)
	}
}

// rightfulBFD is what n1 has to believe: the same words as before from one hop away, and that n2 says nothing any more.
func (w *peerWorld) rightfulBFD() {
	for _, peer := range []netip.Addr{w.router.IPv4(), w.router.IPv6()} {
		before := w.session(peer)
		w.forge(w.other, peer, 255, 1, w.bfd.of(peer))
		w.until("a packet with TTL 255 counts", 10*time.Second, func() error {
			if after := w.session(peer); after == before || w.bfd.forged() == 0 {
				return fmt.Errorf("%s is %+v", peer, after)
			}
			return nil
		})
	}
	if err := w.n2.Cable(false); err != nil {
		w.t.Fatal(err)
	}
	begun := time.Now()
	w.until("n1 notices that n2 is gone", 15*time.Second, func() error { // the hold time is 90 s
		if s := w.session(w.n2.IPv4()); s.Session == "ESTABLISHED" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	judge(w.t, "BFD notices a dead node", "")
	w.t.Logf("n2 is gone after %v", time.Since(begun).Round(10*time.Millisecond))
}

// bfdEar hears what BFD packets a host takes: a raw socket gets what the rules at input let by.
type bfdEar struct {
	mu     sync.Mutex
	last   map[netip.Addr]uint32 // the discriminator of each sender
	forges int
}

func hearBFD(t *testing.T, h *lab.Host) *bfdEar {
	e := &bfdEar{last: map[netip.Addr]uint32{}}
	for _, network := range []string{"ip4:17", "ip6:17"} {
		var c net.PacketConn
		if err := h.Do(func() (err error) { c, err = net.ListenPacket(network, ""); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go e.hear(c)
	}
	return e
}

func (e *bfdEar) hear(c net.PacketConn) {
	for b := make([]byte, 2000); ; {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if n < 8+24 || binary.BigEndian.Uint16(b[2:]) != 3784 {
			continue
		}
		a, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
		e.mu.Lock()
		if b[8+2] == forgedMultiplier {
			e.forges++
		} else {
			e.last[a.Unmap()] = binary.BigEndian.Uint32(b[8+4:])
		}
		e.mu.Unlock()
	}
}

// of is the discriminator that an address last said it had, 0 if it said nothing.
func (e *bfdEar) of(a netip.Addr) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last[a]
}

// forged is how many forged packets were heard since it was asked last.
func (e *bfdEar) forged() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.forges
	e.forges = 0
	return n
}
