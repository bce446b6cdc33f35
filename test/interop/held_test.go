//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// wire is a prefix as BGP has it (RFC 4271 section 4.3).
func wire(prefix string) []byte {
	p := netip.MustParsePrefix(prefix)
	return append([]byte{byte(p.Bits())}, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

// teach announces prefixes of both families in the router's name.
func (p *rawPeer) teach(path []byte, prefixes ...string) {
	var v4, v6 []byte
	for _, s := range prefixes {
		if strings.Contains(s, ":") {
			v6 = append(v6, wire(s)...)
		} else {
			v4 = append(v4, wire(s)...)
		}
	}
	if len(v4) > 0 {
		p.say(announcement(slices.Concat(attrOrigin, path, attrHop), v4...))
	}
	if len(v6) > 0 {
		hop := netip.MustParseAddr(first6).As16()
		v := slices.Concat([]byte{0, 2, 1, 16}, hop[:], []byte{0}, v6)
		p.say(announcement(slices.Concat([]byte{0x90, 14, byte(len(v) >> 8), byte(len(v))}, v, attrOrigin, path)))
	}
}

// TestBoundaryTaught has a router teach what isn't its to teach, some of it with an empty path, which is better than that of
// the node that has it. What is its own it teaches beside, and aggregates around all of it.
func TestBoundaryTaught(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	w.until("n1 has n2's pods", 15*time.Second, func() error {
		return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12", "fd00:10:244:2::/64 via fd00:172:30::12")
	})
	held := map[string]string{
		"10.244.2.0/24": "the pod range of node n2", "10.244.2.128/25": "the pod range of node n2", "10.244.1.7/32": "the pod range of node n1",
		"fd00:10:244:2::/64": "the pod range of node n2", "fd00:10:244:2:8000::/65": "the pod range of node n2",
		"10.98.7.0/24": "--service-external-ip-range", "fd00:10:98::100/120": "--service-external-ip-range",
		"10.96.128.0/24": "--service-cluster-ip-range", "172.30.0.128/25": "the subnet of eth0", "172.30.0.254/32": "the subnet of eth0", "fd00:172:30::/65": "the subnet of eth0",
		"127.1.0.0/16": "loopback", "169.254.10.0/24": "links", "224.0.0.0/8": "multicast", "255.255.255.255/32": "broadcast", "0.0.0.0/8": "names no host",
		"fe80:1::/32": "links", "ff02::/16": "multicast", "::1/128": "loopback",
		"64.0.0.0/7": "shorter", "128.0.0.0/1": "shorter", "2000::/3": "shorter", "0.0.0.0/0": "--accept-default-route", "::/0": "--accept-default-route",
	}
	own := []string{"10.0.0.0/8", "198.51.100.0/24", "192.168.77.0/24", "172.16.0.0/12", "2001:db8:51::/48", "fd00::/16"}
	p := w.raw("r1", first, "172.30.0.11")
	for prefix := range held {
		p.teach(asPath(), prefix)
	}
	p.teach([]byte{0x40, 2, 0}, "10.244.2.0/24", "fd00:10:244:2::/64") // an empty path is the shortest
	p.teach(asPath(), own...)
	w.until("what is the router's is there", 10*time.Second, func() error { return contains(w.routes("n1"), own...) })
	w.until("each refusal is told", 10*time.Second, func() error {
		out := w.show("n1", "remarks")
		for prefix, why := range held {
			if err := contains(out, "Path "+prefix); err != nil {
				return err
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "Path "+prefix+" ") && (!strings.Contains(line, why) || !strings.Contains(line, first)) {
					return fmt.Errorf("%s: no %q in %s", prefix, why, line)
				}
			}
		}
		return nil
	})
	routes := w.routes("n1")
	for prefix := range held {
		for line := range strings.Lines(routes) {
			bare := strings.TrimSuffix(strings.TrimSuffix(prefix, "/32"), "/128")
			if strings.HasPrefix(line, bare+" via "+first) || strings.HasPrefix(line, bare+" via "+first6) || strings.HasPrefix(line, "default") {
				t.Errorf("taken: %s", line)
			}
		}
	}
	if err := contains(routes, "10.244.2.0/24 via 172.30.0.12", "fd00:10:244:2::/64 via fd00:172:30::12"); err != nil {
		t.Error(err)
	}
	// On purpose, while the session stands.
	w.annotate("n1", "node.bgp.accept-prefixes", "172.30.0.128/25, fe80:1::/32")
	w.until("what is permitted is there", 10*time.Second, func() error { return contains(w.routes("n1"), "172.30.0.128/25 via "+first) })
	if err := lacks(w.show("n1", "remarks"), "Path 172.30.0.128/25"); err != nil {
		t.Error(err)
	}
	w.annotate("n1", "node.bgp.accept-prefixes", "")
	w.until("and no more", 10*time.Second, func() error { return lacks(w.routes("n1"), "172.30.0.128/25") })
	// A session that ends takes its remarks along.
	if err := p.stands(); err != nil {
		t.Error(err)
	}
	p.conn.Close()
	w.until("nothing of the router is left", 10*time.Second, func() error {
		if err := lacks(w.routes("n1"), "via "+first); err != nil {
			return err
		}
		return lacks(w.show("n1", "remarks"), "not taken from")
	})
}

// TestBoundaryDefaultRoute takes a default route where that is wished.
func TestBoundaryDefaultRoute(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, append(peering(first), "--accept-default-route")...)
	for _, f := range []string{"-4", "-6"} {
		_, _ = w.node("n1").Run(w.ctx, "ip", f, "route", "del", "default")
	}
	p := w.raw("r1", first, "172.30.0.11")
	p.teach(asPath(), "0.0.0.0/0", "::/0", "64.0.0.0/7")
	w.until("the default routes are there", 10*time.Second, func() error {
		return contains(w.routes("n1"), "default via "+first, "default via "+first6)
	})
	if err := lacks(w.routes("n1"), "64.0.0.0/7"); err != nil {
		t.Error(err)
	}
	if err := w.node("n1").RestartDaemon(); err != nil {
		t.Fatal(err)
	}
}

// rss is the memory of a process of a node in KiB.
func (w *world) rss(node, pid string) (kib int) {
	w.t.Helper()
	out, err := w.node(node).Run(w.ctx, "cat", "/proc/"+pid+"/status")
	if err != nil {
		w.t.Fatal(err, out)
	}
	_, rest, _ := strings.Cut(out, "VmRSS:")
	fmt.Sscan(rest, &kib)
	return kib
}

// TestBoundaryPrefixLimit has a router teach 300,000 prefixes. As many as it may are taken; the rest costs a remark.
func TestBoundaryPrefixLimit(t *testing.T) {
	const all, most = 300_000, 10_000
	w := begin(t, lab.Config{Nodes: 1}, peering(first)...)
	p := w.raw("r1", first, "172.30.0.11")
	p.teach(asPath(), "198.51.100.0/24")
	w.until("the first route is there", 10*time.Second, func() error { return contains(w.routes("n1"), "198.51.100.0/24") })
	pid := w.speakerPID("n1")
	before := w.rss("n1", pid)
	begun := time.Now()
	attrs := slices.Concat(attrOrigin, asPath(), attrHop)
	for i := 0; i < all; {
		var nlri bytes.Buffer
		for range 900 {
			nlri.Write([]byte{24, 20 + byte(i>>16), byte(i >> 8), byte(i)})
			i++
		}
		p.say(announcement(attrs, nlri.Bytes()...))
	}
	w.until("it is told", 60*time.Second, func() error {
		return contains(w.show("n1", "remarks"), "Peer "+first+" it teaches more than 10000 prefixes")
	})
	w.until("as many as it may are there", 90*time.Second, func() error {
		if n := strings.Count(w.routes("n1"), "via "+first); n != most {
			return fmt.Errorf("%d routes", n)
		}
		return nil
	})
	after := w.rss("n1", pid)
	t.Logf("%d prefixes in %v; the speaker had %d KiB and has %d KiB", all, time.Since(begun).Round(time.Millisecond), before, after)
	if after-before > 100<<10 { // all of them would take half a gigabyte
		t.Errorf("the speaker grew by %d KiB", after-before)
	}
	if err := p.stands(); err != nil {
		t.Error(err)
	}
	// The first comers count, and what there is room for again.
	if err := contains(w.routes("n1"), "198.51.100.0/24 via "+first); err != nil {
		t.Error(err)
	}
	// A daemon that starts anew finds it so.
	if err := w.node("n1").KillDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := w.node("n1").StartDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("the new daemon tells it too", 30*time.Second, func() error {
		out, err := w.node("n1").Run(w.ctx, filepath.Join(programs, "kube-router"), "show", "remarks")
		if err != nil {
			return err
		}
		return contains(out, "Peer "+first+" it teaches more than 10000 prefixes")
	})
}
