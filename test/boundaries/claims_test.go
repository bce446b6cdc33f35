//go:build boundaries

package boundaries

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// advertised is a neighbour advertisement that an address is at the frame's sender (RFC 4861, section 4.4).
func (e ether) advertised(src, dst, target netip.Addr) []byte {
	b := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, target.AsSlice()...)
	b = append(append(b, 2, 1), e.from...)
	return e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_ICMPV6, hops: 255, data: icmpBytes(src, dst, b)})
}

// solicited asks whether an address is somebody's, as who is about to take it does (RFC 4862, section 5.4).
func (e ether) solicited(target netip.Addr) []byte {
	src, dst := netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1")
	b := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	return e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_ICMPV6, hops: 255, data: icmpBytes(src, dst, b)})
}

// router is a router advertisement of a default router and a prefix (RFC 4861, section 4.2).
func (e ether) router(src netip.Addr) []byte {
	dst := netip.MustParseAddr("ff02::1")
	b := []byte{134, 0, 0, 0, 64, 8, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0}
	b = append(b, netip.MustParseAddr("2001:db8:bad::").AsSlice()...)
	b = append(append(b, 1, 1), e.from...)
	return e.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_ICMPV6, hops: 255, data: icmpBytes(src, dst, b)})
}

// redirect4 says in a router's name that another way to an address is better (RFC 792).
func (e ether) redirect4(router, dst, to, by netip.Addr) []byte {
	inner := ipPacket{src: dst, dst: to, proto: unix.IPPROTO_UDP, data: udpBytes(dst, to, "x")}.four()
	b := append(append([]byte{5, 1, 0, 0}, by.AsSlice()...), inner[:28]...)
	sum := summed(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	return e.ip(ipPacket{src: router, dst: dst, proto: unix.IPPROTO_ICMP, data: b})
}

// redirect6 is the same for IPv6 (RFC 4861, section 4.5).
func (e ether) redirect6(router, dst, to, by netip.Addr) []byte {
	b := append(append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, by.AsSlice()...), to.AsSlice()...)
	b = append(append(b, 2, 1), e.from...)
	return e.ip(ipPacket{src: router, dst: dst, proto: unix.IPPROTO_ICMPV6, hops: 255, data: icmpBytes(router, dst, b)})
}

// linkLocalOf is the link-local address of a link of a host.
func linkLocalOf(t *testing.T, w *world, h *lab.Host, link string) netip.Addr {
	t.Helper()
	out := mustRun(t, w, h, "ip", "-6", "-o", "addr", "show", "dev", link, "scope", "link")
	_, text, _ := strings.Cut(out, "inet6 ")
	text, _, _ = strings.Cut(text, "/")
	return netip.MustParseAddr(text)
}

// answered reaches the database's server from the teller and the other way round, in both families.
func (s *scene) answered(t *testing.T) string {
	t.Helper()
	for f := range s.db.Addrs() {
		for _, pair := range [][2]*lab.Host{{s.teller, s.db}, {s.db, s.teller}, {s.Node("n1").Host, s.db}, {s.Node("n1").Host, s.mallory}} {
			if r := pair[0].Probe(probe.Request{To: netip.AddrPortFrom(pair[1].Addrs()[f], 8080), Timeout: 3 * time.Second}); !r.OK() {
				return r.String()
			}
		}
	}
	return ""
}

// TestClaimsOfAPod: a pod says that its neighbours' addresses are its own, that it is a router, or knows a better way; nobody
// believes it, and its own life goes on: it answers who asks for it, and finds others.
func TestClaimsOfAPod(t *testing.T) {
	s := newScene(t, lab.Config{DaemonArgs: []string{"--run-firewall=false"}})
	if complaint := s.answered(t); complaint != "" {
		t.Fatal(complaint)
	}
	heard := mustRun(t, s.world, s.db, "sysctl", "-n", "net.ipv6.conf.eth0.accept_ra", "net.ipv6.conf.default.accept_ra")
	complaint := ""
	if heard != "0\n0\n" {
		complaint = fmt.Sprintf("accept_ra: %q", heard)
	}
	judge(t, "pods don't listen to router advertisements", complaint)
	if err := s.db.Space().Sysctl("net.ipv6.conf.all.accept_ra=1", "net.ipv6.conf.eth0.accept_ra=1"); err != nil {
		t.Fatal(err) // a pod that would listen all the same
	}
	all := ether{to: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, from: s.me}
	one, stolen := ether{to: s.victim, from: s.me}, ether{to: s.gateway, from: s.victim}
	ours, gateway6 := linkLocalOf(t, s.world, s.mallory, "eth0"), linkLocalOf(t, s.world, s.Node("n1").Host, "kube-bridge")
	everybody := netip.MustParseAddr("ff02::1")
	var frames [][]byte
	for _, a := range []netip.Addr{s.teller.IPv4(), s.db.IPv4(), gatewayOf(t, s.db, 0)} {
		frames = append(frames, all.arp(a), one.arp(a))
	}
	for _, a := range []netip.Addr{s.teller.IPv6(), s.db.IPv6(), gatewayOf(t, s.db, 1), gateway6} {
		frames = append(frames, all.advertised(ours, everybody, a), one.advertised(ours, s.db.IPv6(), a), one.advertised(a, s.db.IPv6(), a),
			all.advertised(s.mallory.IPv6(), everybody, a), all.solicited(a))
	}
	frames = append(frames, all.router(ours), one.router(ours), one.router(gateway6),
		one.redirect4(gatewayOf(t, s.db, 0), s.db.IPv4(), s.teller2.IPv4(), s.mallory.IPv4()),
		one.redirect6(gateway6, s.db.IPv6(), s.teller2.IPv6(), ours), one.redirect6(ours, s.db.IPv6(), s.teller2.IPv6(), ours),
		stolen.carry(0x88b5, make([]byte, 46)), // the bridge learns where a MAC is
		stolen.arp(s.mallory.IPv4()))
	// Who the neighbours know before is who they know afterwards.
	known := func() string {
		text := ""
		for _, h := range []*lab.Host{s.db, s.Node("n1").Host, s.teller} {
			for _, a := range append(s.teller.Addrs(), s.db.Addrs()...) {
				if m := neighbor(t, s.world, h, a); m == s.me.String() {
					text += fmt.Sprintf("%s is at mallory's; ", a)
				}
			}
			for f := range s.db.Addrs() {
				if m := neighbor(t, s.world, h, gatewayOf(t, s.db, f)); m == s.me.String() {
					text += "the gateway is at mallory's; "
				}
			}
		}
		out := mustRun(t, s.world, s.db, "ip", "-6", "route", "show") + mustRun(t, s.world, s.db, "ip", "-6", "addr", "show") +
			mustRun(t, s.world, s.db, "ip", "route", "get", s.teller2.IPv4().String()) + mustRun(t, s.world, s.db, "ip", "-6", "route", "get", s.teller2.IPv6().String())
		for _, bad := range []string{"proto ra", "2001:db8:bad", ours.String(), "via " + s.mallory.IPv4().String()} {
			if strings.Contains(out, bad) {
				text += bad + " in " + out
			}
		}
		return text
	}
	for range 3 {
		sendFrames(t, s.mallory, frames...)
	}
	time.Sleep(300 * time.Millisecond)
	judge(t, "nobody believes it", known())
	judge(t, "everybody is reached", s.answered(t))
	fdb := mustRun(t, s.world, s.Node("n1").Host, "bridge", "fdb", "show", "br", "kube-bridge")
	complaint = ""
	if n := strings.Count(fdb, s.victim.String()); n > 1 {
		complaint = fdb
	}
	judge(t, "the bridge knows where the database is", complaint)
	drops := mustRun(t, s.world, s.Node("n1").Host, programs+"/kube-router", "show", "drops")
	complaint = ""
	if !strings.Contains(drops, "not as its sender") {
		complaint = drops
	}
	judge(t, "what ended is counted", complaint)
}

// TestFreedPods: the administrator's annotation on a Namespace frees its pods, at once and until it goes. It also shows that the
// frames of these tests are heard where nobody guards.
func TestFreedPods(t *testing.T) {
	s := newScene(t, lab.Config{})
	e := listenAt(t, s.db)
	claim := func() bool {
		text := fmt.Sprintf("claim %d", time.Now().UnixNano())
		src, dst := s.teller.IPv4(), s.db.IPv4()
		frame := ether{to: s.victim, from: s.me}.ip(ipPacket{src: src, dst: dst, proto: unix.IPPROTO_UDP, data: udpBytes(src, dst, text)})
		sendFrames(t, s.mallory, frame)
		s.marker(t, e, "after "+text)
		return e.hears(text)
	}
	until := func(name string, want bool) {
		t.Helper()
		complaint := ""
		if err := s.Until(s.ctx, name, func() error {
			if claim() != want {
				return fmt.Errorf("a forged packet heard: %t", !want)
			}
			return nil
		}); err != nil {
			complaint = err.Error()
		}
		judge(t, name, complaint)
	}
	until("guarded", false)
	if err := s.Apply(s.ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: evil, annotations: {kube-router.io/unguarded-pods: "true"}}}`); err != nil {
		t.Fatal(err)
	}
	until("freed", true)
	attacks := s.attacks(t)
	for _, c := range attacks {
		sendFrames(t, s.mallory, c.frames...)
	}
	sendFrames(t, s.mallory, ether{to: s.victim, from: s.me}.arp(s.teller.IPv4()))
	for _, name := range []string{"as a neighbour, IPv4", "as a neighbour, IPv6", "tags [81000000 81000000] as a neighbour, IPv4", "as another node, IPv4"} {
		e.waitFor(t, s.world, name)
	}
	if m := neighbor(t, s.world, s.db, s.teller.IPv4()); m != s.me.String() {
		t.Errorf("a claim of the teller's address wasn't believed: it is at %s", m)
	}
	if err := s.Apply(s.ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: evil, annotations: {kube-router.io/unguarded-pods: "yes"}}}`); err != nil {
		t.Fatal(err)
	}
	until("guarded again", false)
	remarks := mustRun(t, s.world, s.Node("n1").Host, programs+"/kube-router", "show", "remarks")
	complaint := ""
	if !strings.Contains(remarks, "unguarded-pods") {
		complaint = remarks
	}
	judge(t, "what is neither true nor false is remarked on", complaint)
	n1 := s.Node("n1")
	_, _ = n1.Run(s.ctx, "nft", "delete table bridge kube-router") // refused from Linux 6.9 on
	until("guarded after others would remove the table", false)
}
