//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestECMP learns one prefix from two routers of one AS and uses both, until one of them goes.
func TestECMP(t *testing.T) {
	args := append(peering(first, second), "--override-nexthop")
	args[1] = "--peer-router-asns=65001,65001"
	w := begin(t, lab.Config{Nodes: 1}, args...)
	one := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	w.bird("r2", birdPeers(second, second6, "65001", "", "172.30.0.11"))
	w.until("two ways", 15*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24", "nexthop via "+first, "nexthop via "+second,
			"2001:db8:51::/48", "nexthop via "+first6, "nexthop via "+second6)
	})
	one.says(5*time.Second, "show route all for 10.244.1.0/24", "BGP.next_hop: 172.30.0.11")
	one.ask("disable n1")
	w.until("one way", 3*time.Second, func() error {
		if err := lacks(w.routes("n1"), "via "+first, "via "+first6); err != nil {
			return err
		}
		return contains(w.routes("n1"), "198.51.100.0/24 via "+second, "2001:db8:51::/48 via "+second6)
	})
}

// TestMultihop peers with a router two hops away, which needs the flag.
func TestMultihop(t *testing.T) {
	const far = "172.31.0.200" // beyond the lab's router
	for _, c := range []struct {
		ttl  string
		want bool
	}{{"0", false}, {"4", true}} {
		args := append(peering(far), "--peer-router-multihop-ttl="+c.ttl)
		w := begin(t, lab.Config{Nodes: 1, Hosts: []lab.HostConfig{{Name: "r1", Segment: lab.Outside}}}, args...)
		r := w.bird("r1", strings.ReplaceAll(birdPeers(far, "fd00:172:31::200", "65001", "multihop 4;", "172.30.0.11"),
			"connect retry time 1;", "connect retry time 1; passive on;"))
		if c.want {
			r.says(15*time.Second, "show protocols n1", "Established")
			r.says(3*time.Second, "show route protocol n1", "10.244.1.0/24")
			continue
		}
		time.Sleep(3 * time.Second)
		if out := r.ask("show protocols n1"); strings.Contains(out, "Established") {
			t.Errorf("a session over two hops without the flag:\n%s", out)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMeshPassword protects the sessions between nodes.
func TestMeshPassword(t *testing.T) {
	file := t.TempDir() + "/password"
	write(t, file, "topsecret\n")
	w := begin(t, lab.Config{Nodes: 2}, "--ibgp-password-file="+file)
	w.until("n1 has n2's pods", 10*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
	write(t, file, "other\n")
	if err := w.node("n2").RestartDaemon(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	if out := w.show("n1", "peers"); strings.Contains(out, "ESTABLISHED") {
		t.Errorf("a session with two passwords:\n%s", out)
	}
	write(t, file, "topsecret\n")
	if err := w.node("n2").RestartDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("n1 has n2's pods", 20*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
}

// TestAggregates announces a range in place of its parts.
func TestAggregates(t *testing.T) {
	args := append(peering(first), "--advertise-pod-aggregate=10.244.0.0/16", "--advertise-service-ranges")
	w := begin(t, lab.Config{Nodes: 2}, args...)
	w.apply(service("everywhere", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	w.apply(service("local", "10.98.0.6", "fd00:10:98::6", "n1", "Local"))
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11", "172.30.0.12"))
	r.says(15*time.Second, "show route protocol n1", "10.244.0.0/16", "fd00:10:244:1::/64", "10.98.0.0/16", "fd00:10:98::/112", "10.98.0.6/32")
	r.says(15*time.Second, "show route protocol n2", "10.244.0.0/16", "10.98.0.0/16")
	if err := lacks(r.ask("show route"), "10.244.1.0/24", "10.98.0.5/32"); err != nil {
		t.Error(err)
	}
	if err := lacks(r.ask("show route protocol n2"), "10.98.0.6/32"); err != nil {
		t.Error(err)
	}
	// What no node has of the range is not sent back to who sends by it.
	w.until("the rest of the range is dropped", 2*time.Second, func() error {
		return contains(w.routes("n1"), "unreachable 10.244.0.0/16", "unreachable 10.244.1.0/24")
	})
	// Nodes still know each other's ranges.
	w.until("n1 has n2's pods", 10*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
}

// TestJoin measures how long a node that joins takes to be reached by the others.
func TestJoin(t *testing.T) {
	// A daemon that ends leaves its routes with the others for as long as a restart may take.
	w := begin(t, lab.Config{Nodes: 3}, "--bgp-graceful-restart-time=1s")
	w.until("the mesh stands", 15*time.Second, func() error { return peers(w, "n1", "n2", "n3") })
	n3 := w.node("n3")
	if err := n3.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("n3's pods are gone", 3*time.Second, func() error { return lacks(w.routes("n1"), "10.244.3.0/24") })
	time.Sleep(time.Second)
	begun := time.Now()
	if err := n3.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("n3's pods are reached", 10*time.Second, func() error {
		for _, n := range []string{"n1", "n2"} {
			if err := contains(w.routes(n), "10.244.3.0/24 via 172.30.0.13", "fd00:10:244:3::/64"); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
		}
		return contains(w.routes("n3"), "10.244.1.0/24", "10.244.2.0/24")
	})
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("a node that joins is reached after %v", took)
	}
}
