//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// frrPeers are sessions of an FRR with the nodes, for the routes of both families.
func frrPeers(self, as, options string, nodes ...string) string {
	config := fmt.Sprintf(`frr defaults traditional
log stdout informational
router bgp %s
 bgp router-id %s
 bgp graceful-restart
 no bgp ebgp-requires-policy
 no bgp network import-check
`, as, self)
	for _, n := range nodes {
		config += fmt.Sprintf(" neighbor %[1]s remote-as 64512\n neighbor %[1]s timers connect 1\n neighbor %[1]s advertisement-interval 0\n", n)
		if options != "" {
			config += fmt.Sprintf(" neighbor %s %s\n", n, options)
		}
	}
	for family, network := range map[string]string{"ipv4": "192.0.2.128/25", "ipv6": "2001:db8:52::/48"} {
		config += fmt.Sprintf(" address-family %s unicast\n  network %s\n  maximum-paths 8\n", family, network)
		for _, n := range nodes {
			config += fmt.Sprintf("  neighbor %[1]s activate\n  neighbor %[1]s soft-reconfiguration inbound\n", n)
		}
		config += " exit-address-family\n"
	}
	return config
}

// TestFRR exchanges routes of both families with FRR, with password, attributes and a change of policy.
func TestFRR(t *testing.T) {
	args := append(peering(second), "--peer-router-passwords=c2VjcmV0")
	args[1] = "--peer-router-asns=65002"
	w := begin(t, lab.Config{}, args...)
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	w.annotate("n1", "node.bgp.communities", "64512:17,64512:1:2", "path-prepend.as", "64512", "path-prepend.repeat-n", "2", "node.bgp.med", "7")
	r := w.frr("r2", frrPeers(second, "65002", "password secret", "172.30.0.11", "172.30.0.12"))
	r.says(15*time.Second, "show bgp ipv4 unicast 10.98.0.1/32",
		"64512 64512 64512", "Community: 64512:17", "Large Community: 64512:1:2", "metric 7", "(2 available")
	r.says(2*time.Second, "show bgp ipv6 unicast fd00:10:98::1/128", "fd00:172:30::11")
	r.says(2*time.Second, "show bgp ipv4 unicast", "10.244.1.0/24", "10.244.2.0/24")
	r.says(2*time.Second, "show bgp ipv6 unicast", "fd00:10:244:1::/64", "fd00:10:244:2::/64")
	w.until("n1 has FRR's routes", 5*time.Second, func() error {
		return contains(w.routes("n1"), "192.0.2.128/25 via "+second, "2001:db8:52::/48 via "+second6)
	})
	w.annotate("n1", "node.bgp.communities", "", "path-prepend.as", "", "path-prepend.repeat-n", "", "node.bgp.med", "")
	r.silent(2*time.Second, "show bgp ipv4 unicast 10.98.0.1/32", "64512:17", "64512 64512", "metric 7")
	// Now both nodes are equally good: traffic goes to both.
	r.says(5*time.Second, "show ip route 10.98.0.1/32", "172.30.0.11", "172.30.0.12")
	kernel := func() error {
		out, err := r.Run(w.ctx, "ip", "route", "show", "10.98.0.1")
		if err != nil {
			return err
		}
		return contains(out, "nexthop via 172.30.0.11", "nexthop via 172.30.0.12")
	}
	w.until("both in FRR's kernel", 5*time.Second, kernel)
	if out := r.ask("show bgp neighbors 172.30.0.11"); strings.Contains(out, "Local AS: 64512") {
		t.Error(out)
	}
}

// TestLocalAndDrain withdraws a Service with its last local endpoint, and everything of a node that is
// drained.
func TestLocalAndDrain(t *testing.T) {
	args := append(peering(second), "--withdraw-on-cordon")
	args[1] = "--peer-router-asns=65002"
	w := begin(t, lab.Config{}, args...)
	w.apply(service("local", "10.98.0.7", "fd00:10:98::7", "n1", "Local"))
	w.apply(service("everywhere", "10.98.0.8", "fd00:10:98::8", "n1", "Cluster"))
	r := w.frr("r2", frrPeers(second, "65002", "", "172.30.0.11", "172.30.0.12"))
	const local, everywhere = "show bgp ipv4 unicast 10.98.0.7/32", "show bgp ipv4 unicast 10.98.0.8/32"
	r.says(15*time.Second, everywhere, "(2 available")
	r.says(5*time.Second, local, "(1 available", "172.30.0.11 from 172.30.0.11")
	// The endpoint moves.
	w.apply(slice("local", "IPv4", "192.0.2.2", "n2"))
	r.says(2*time.Second, local, "(1 available", "172.30.0.12 from 172.30.0.12")
	r.says(2*time.Second, "show bgp ipv6 unicast fd00:10:98::7/128", "(1 available", "fd00:172:30::11")
	// It is no longer ready.
	w.apply(strings.Replace(slice("local", "IPv4", "192.0.2.2", "n2"), "ready: true", "ready: false", 1))
	r.says(2*time.Second, local, "Network not in table")
	// n1 is cordoned, then back, then excluded from load balancers, then back.
	for _, change := range []struct{ off, on map[string]any }{
		{map[string]any{"spec": map[string]any{"unschedulable": true}}, map[string]any{"spec": map[string]any{"unschedulable": false}}},
		{
			map[string]any{"metadata": map[string]any{"labels": map[string]any{"node.kubernetes.io/exclude-from-external-load-balancers": ""}}},
			map[string]any{"metadata": map[string]any{"labels": map[string]any{"node.kubernetes.io/exclude-from-external-load-balancers": nil}}},
		},
	} {
		w.patch("n1", change.off)
		r.says(2*time.Second, everywhere, "(1 available", "172.30.0.12 from 172.30.0.12")
		r.says(time.Second, "show bgp ipv4 unicast 10.244.1.0/24", "172.30.0.11 from 172.30.0.11") // its pods are still there
		w.patch("n1", change.on)
		r.says(2*time.Second, everywhere, "(2 available")
	}
}

// TestFailover finds a dead router and a dead node by BFD in less than a second.
func TestFailover(t *testing.T) {
	args := append(peering(first, second), "--enable-bfd", "--bfd-desired-min-tx-interval=250", "--bfd-required-min-rx-interval=250")
	w := begin(t, lab.Config{}, args...)
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	bird := w.bird("r1", birdBFD+birdPeers(first, first6, "65001", "bfd on;", "172.30.0.11", "172.30.0.12"))
	r := w.frr("r2", frrPeers(second, "65002", "bfd 3 250 250", "172.30.0.11", "172.30.0.12"))
	r.says(15*time.Second, "show bgp ipv4 unicast 10.98.0.1/32", "(2 available")
	bird.says(15*time.Second, "show bfd sessions", "172.30.0.11              eth0       Up", "172.30.0.12              eth0       Up")
	r.says(10*time.Second, "show bfd peers brief", "up")
	w.until("BFD with both routers and the other node is up", 15*time.Second, func() error {
		if n := strings.Count(w.show("n1", "peers"), "UP "); n != 3 {
			return fmt.Errorf("%d sessions:\n%s", n, w.show("n1", "peers"))
		}
		return nil
	})
	w.until("n1 has routes", 5*time.Second, func() error { return contains(w.routes("n1"), "192.0.2.128/25", "198.51.100.0/24") })
	// A router dies; nobody on the nodes sees a link go.
	begun := time.Now()
	if err := r.Space().SetLink("eth0", false); err != nil {
		t.Fatal(err)
	}
	w.until("n1 lost the dead router's routes", 5*time.Second, func() error { return lacks(w.routes("n1"), "192.0.2.128/25") })
	if took := time.Since(begun); took > time.Second {
		t.Errorf("a router was dead for %v before its routes were gone", took)
	}
	if err := contains(w.routes("n1"), "198.51.100.0/24"); err != nil {
		t.Error(err)
	}
	// A node dies.
	begun = time.Now()
	if err := w.node("n2").Cable(false); err != nil {
		t.Fatal(err)
	}
	w.until("n1 lost the dead node's pods", 5*time.Second, func() error { return lacks(w.routes("n1"), "10.244.2.0/24") })
	if took := time.Since(begun); took > time.Second {
		t.Errorf("a node was dead for %v before its routes were gone", took)
	}
	w.until("BIRD lost them too", 5*time.Second, func() error { return lacks(bird.ask("show route"), "10.244.2.0/24") })
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("BIRD took %v", took)
	}
	// It comes back.
	if err := w.node("n2").Cable(true); err != nil {
		t.Fatal(err)
	}
	w.until("n2 is back", 20*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
}
