//go:build boundaries

package boundaries

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const framePods = `
{apiVersion: v1, kind: Namespace, metadata: {name: bank}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: evil}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: bank, labels: {app: db}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: teller, namespace: bank, labels: {app: teller}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: teller2, namespace: bank, labels: {app: teller}}, spec: {nodeName: n2, containers: [{name: c, image: lab}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mallory, namespace: evil, labels: {app: mallory}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
`

const framePolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-teller, namespace: bank}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: teller}}}]}]
  egress: []
`

// crafted is a frame that a pod makes by hand to reach another's port 9000 as its name says.
type crafted struct {
	name   string
	frames [][]byte
	own    bool // it is the pod's own packet, however odd: only a policy forbids it
}

// scene are the pods of a test about frames.
type scene struct {
	*world
	db, teller, teller2, mallory *lab.Host
	me, victim, gateway          net.HardwareAddr
}

func newScene(t *testing.T, c lab.Config) *scene {
	t.Helper()
	c.Nodes = 2
	return start(t, c).scene(t, "kube-bridge")
}

// scene lets the pods start on a bridge of that name.
func (w *world) scene(t *testing.T, bridge string) *scene {
	t.Helper()
	if err := w.Apply(w.ctx, framePods); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	s := &scene{world: w, db: w.Pod("bank/db"), teller: w.Pod("bank/teller"), teller2: w.Pod("bank/teller2"), mallory: w.Pod("evil/mallory")}
	s.me, s.victim, s.gateway = macOf(t, s.mallory, "eth0"), macOf(t, s.db, "eth0"), macOf(t, w.Node("n1").Host, bridge)
	return s
}

// attacks are all ways by frames from mallory to the database.
func (s *scene) attacks(t *testing.T) (list []crafted) {
	plain := ether{to: s.victim, from: s.me}
	udp := func(name string, own bool, e ether, src, dst netip.Addr) {
		list = append(list, crafted{name, [][]byte{e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_UDP, data: udpBytes(src, dst, name)})}, own})
	}
	for f, dst := range s.db.Addrs() {
		v, mine, teller, far := fmt.Sprintf(", IPv%d", 4+2*f), s.mallory.Addrs()[f], s.teller.Addrs()[f], s.teller2.Addrs()[f]
		node, other := s.Node("n1").Addrs()[f], s.Node("n2").Addrs()[f]
		udp("as itself"+v, true, plain, mine, dst)
		for who, src := range map[string]netip.Addr{
			"a neighbour": teller, "a pod elsewhere": far, "the node": node, "another node": other,
			"the bridge": gatewayOf(t, s.db, f), "loopback": [2]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}[f],
			"the database": dst,
		} {
			udp("as "+who+v, false, plain, src, dst)
			udp("as "+who+" by the gateway"+v, false, ether{to: s.gateway, from: s.me}, src, dst)
		}
		udp("from a neighbour's MAC"+v, false, ether{to: s.victim, from: macOf(t, s.teller, "eth0")}, mine, dst)
		udp("as a neighbour with its MAC"+v, false, ether{to: s.victim, from: macOf(t, s.teller, "eth0")}, teller, dst)
		for _, tags := range [][]uint32{
			{0x81000000}, {0x81000000, 0x81000000}, {0x88a80000}, {0x88a80000, 0x81000000}, {0x81000000, 0x88a80000}, {0x88a80000, 0x88a80000},
			{0x81000000, 0x81000000, 0x81000000}, {0x81000001}, {0x81000005}, {0x91000000},
		} {
			udp(fmt.Sprintf("tags %x%s", tags, v), false, ether{plain.to, plain.from, tags}, mine, dst)
			udp(fmt.Sprintf("tags %x as a neighbour%s", tags, v), false, ether{plain.to, plain.from, tags}, teller, dst)
		}
	}
	return append(list, s.odd(plain)...)
}

// gatewayOf is the default router of a pod, of IPv4 or IPv6.
func gatewayOf(t *testing.T, h *lab.Host, family int) netip.Addr {
	t.Helper()
	p, err := h.Addrs()[family].Prefix([2]int{24, 64}[family])
	if err != nil {
		t.Fatal(err)
	}
	return p.Addr().Next()
}

// odd are packets from mallory's own address with options, extension headers and in pieces.
func (s *scene) odd(e ether) (list []crafted) {
	put := func(name string, frames ...[]byte) { list = append(list, crafted{name, frames, true}) }
	src, dst := s.mallory.IPv4(), s.db.IPv4()
	for name, o := range map[string][]byte{
		"record route": {7, 7, 4, 0, 0, 0, 0, 0}, "router alert": {148, 4, 0, 0}, "time stamp": {68, 8, 5, 0, 0, 0, 0, 0},
		"source route": append([]byte{131, 7, 4}, append(dst.AsSlice(), 0)...),
	} {
		put(name, e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_UDP, head: o, data: udpBytes(src, dst, name)}))
	}
	for _, name := range []string{"fragments", "fragments backwards"} {
		u := udpBytes(src, dst, strings.Repeat(name, 20))
		parts := [][]byte{e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_UDP, frag: 0x2000, data: u[:8]}),
			e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_UDP, frag: 1, data: u[8:]})}
		if name != "fragments" {
			slices.Reverse(parts)
		}
		put(name, parts...)
	}
	src, dst = s.mallory.IPv6(), s.db.IPv6()
	pad := []byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}
	nine := []byte{}
	for range 8 {
		nine = append(nine, unix.IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0)
	}
	for name, h := range map[string]struct {
		proto byte
		head  []byte
	}{
		"destination options": {unix.IPPROTO_DSTOPTS, pad}, "hop-by-hop options": {0, pad}, "nine headers": {unix.IPPROTO_DSTOPTS, append(nine, pad...)},
		"routing header 0": {unix.IPPROTO_ROUTING, []byte{unix.IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 0}},
		"routing header 4": {unix.IPPROTO_ROUTING, []byte{unix.IPPROTO_UDP, 0, 4, 0, 0, 0, 0, 0}},
		"atomic fragment":  {unix.IPPROTO_FRAGMENT, []byte{unix.IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 9}},
		"AH":               {unix.IPPROTO_AH, []byte{unix.IPPROTO_UDP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}},
	} {
		put(name, e.ip(ipPacket{src: src, dst: dst, proto: h.proto, head: h.head, data: udpBytes(src, dst, name)}))
	}
	u := udpBytes(src, dst, strings.Repeat("fragments of IPv6", 20))
	put("fragments of IPv6", e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_FRAGMENT, head: []byte{unix.IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 7}, data: u[:8]}),
		e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_FRAGMENT, head: []byte{unix.IPPROTO_UDP, 0, 0, 8, 0, 0, 0, 7}, data: u[8:]}))
	return list
}

// ears collect what reaches port 9000 of a pod.
type ears struct {
	mu    sync.Mutex
	heard map[string]bool
}

func listenAt(t *testing.T, h *lab.Host) *ears {
	t.Helper()
	e := &ears{heard: map[string]bool{}}
	for _, network := range []string{"udp4", "udp6"} {
		var conn *net.UDPConn
		if err := h.Do(func() (err error) {
			conn, err = net.ListenUDP(network, &net.UDPAddr{Port: 9000})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			b := make([]byte, 4000)
			for {
				n, _, err := conn.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				e.mu.Lock()
				e.heard[string(b[:n])] = true
				e.mu.Unlock()
			}
		}()
	}
	return e
}

// hears tells whether a text came that begins so.
func (e *ears) hears(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h := range e.heard {
		if strings.HasPrefix(h, text) && (h == text || strings.Count(h, text) > 1) {
			return true
		}
	}
	return false
}

// waitFor waits for a text.
func (e *ears) waitFor(t *testing.T, w *world, text string) {
	t.Helper()
	if err := w.Until(w.ctx, text+" is heard", func() error {
		if !e.hears(text) {
			return fmt.Errorf("it isn't")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// marker lets an honest pod say a word to the database, which is heard after all that was sent before.
func (s *scene) marker(t *testing.T, e *ears, word string) {
	t.Helper()
	time.Sleep(300 * time.Millisecond) // what was sent before has been dropped or has come
	for f, dst := range s.db.Addrs() {
		text := fmt.Sprint(word, f)
		if err := s.teller.Do(func() error {
			conn, err := net.Dial("udp", netip.AddrPortFrom(dst, 9000).String())
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte(text))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		e.waitFor(t, s.world, text)
	}
}

// TestFramesFromAPod: whatever a pod with NET_RAW puts on its link, it is itself, or it isn't heard. With a policy or without.
func TestFramesFromAPod(t *testing.T) {
	s := newScene(t, lab.Config{})
	e := listenAt(t, s.db)
	attacks := s.attacks(t)
	t.Logf("%d attacks", len(attacks))
	s.try(t, "without a policy", e, attacks, func(c crafted) bool { return !c.own })
	if err := s.Apply(s.ctx, framePolicy); err != nil {
		t.Fatal(err)
	}
	if err := s.Until(s.ctx, "the policy holds", func() error {
		if r := s.mallory.Probe(probe.Request{To: netip.AddrPortFrom(s.db.IPv4(), 8080), Timeout: 300 * time.Millisecond}); r.OK() {
			return fmt.Errorf("%s", r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.try(t, "with a policy", e, attacks, func(crafted) bool { return true })
}

// try makes the attacks and judges each.
func (s *scene) try(t *testing.T, when string, e *ears, attacks []crafted, forbidden func(crafted) bool) {
	t.Helper()
	s.marker(t, e, when+" before")
	e.mu.Lock()
	clear(e.heard)
	e.mu.Unlock()
	for _, c := range attacks {
		sendFrames(t, s.mallory, c.frames...)
	}
	s.marker(t, e, when+" after")
	for _, c := range attacks {
		complaint := ""
		if heard := e.hears(c.name); heard && forbidden(c) {
			complaint = "it was heard"
		}
		judge(t, when+": "+c.name, complaint)
	}
	for _, own := range []string{"as itself, IPv4", "as itself, IPv6", "fragments", "fragments of IPv6", "destination options"} {
		if c := attacks[slices.IndexFunc(attacks, func(c crafted) bool { return c.name == own })]; !forbidden(c) {
			complaint := ""
			if !e.hears(own) {
				complaint = "the pod's own packet was not heard"
			}
			judge(t, when+": rightful "+own, complaint)
		}
	}
}
