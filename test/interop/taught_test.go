//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestBoundaryTaughtNonsense has a router teach what the node knows better: the subnet that it is in, the address of a
// node beside it, and a prefix to which somebody else has a route.
func TestBoundaryTaughtNonsense(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	if out, err := w.node("n1").Run(w.ctx, "ip", "route", "add", "203.0.113.0/24", "via", second, "proto", "static"); err != nil {
		t.Fatal(err, out)
	}
	r := w.bird("r1", strings.Replace(birdPeers(first, first6, "65001", "", "172.30.0.11"), "protocol static { ipv4;",
		"protocol static { ipv4; route 172.30.0.0/24 blackhole; route 172.30.0.12/32 blackhole;", 1))
	r.says(10*time.Second, "show protocols n1", "Established")
	w.until("n1 has BIRD's route", 10*time.Second, func() error { return contains(w.routes("n1"), "198.51.100.0/24 via "+first) })
	w.until("n1 has n2's pods", 10*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
	if err := lacks(w.routes("n1"), "172.30.0.12 via", "172.30.0.0/24"); err != nil {
		t.Error(err)
	}
	if err := contains(w.show("n1", "remarks"), "Path 172.30.0.0/24", "Path 172.30.0.12/32", "it lies in the subnet of eth0"); err != nil {
		t.Error(err)
	}
	// A route of somebody else's stays, and is told of.
	out := w.show("n1", "failing")
	if err := contains(out, "203.0.113.0/24", "made by protocol static; it stays"); err != nil {
		t.Error(err)
	}
	if err := lacks(out, "172.30.0.0/24", "172.30.0.12"); err != nil {
		t.Error(err)
	}
}

// TestOddPasswords has passwords in an annotation with which no session can be protected. None must stand without.
func TestOddPasswords(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1})
	long := strings.Repeat("YWFh", 27) + "YWFh" // 84 bytes
	w.annotate("n1", "peers", fmt.Sprintf(`
- {remoteip: 172.30.0.200, remoteasn: 65001, password: %s}
- {remoteip: 172.30.0.201, remoteasn: 65002, password: "\n"}`, long))
	one := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	two := w.bird("r2", birdPeers(second, second6, "65002", "", "172.30.0.11"))
	time.Sleep(6 * time.Second)
	for _, r := range []*router{one, two} {
		if out := r.ask("show protocols n1"); strings.Contains(out, "Established") {
			t.Errorf("a session without its password:\n%s", out)
		}
	}
	if err := contains(w.show("n1", "remarks"), "peer 1 ignored: password", "peer 2 ignored: password"); err != nil {
		t.Error(err)
	}
}
