//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestOwnReflector makes one node the reflector of the others, by annotation and live. Nodes of another
// cluster id don't peer with it.
func TestOwnReflector(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4})
	w.until("the mesh stands", 15*time.Second, func() error { return peers(w, "n1", "n2", "n3", "n4") })
	w.annotate("n1", "rr.server", "17")
	w.annotate("n2", "rr.client", "0.0.0.17") // the same id in its other form
	w.annotate("n3", "rr.client", "17")
	begun := time.Now()
	w.until("clients peer with their reflector alone", 15*time.Second, func() error {
		for node, want := range map[string][]string{"n1": {"n2", "n3", "n4"}, "n2": {"n1"}, "n3": {"n1"}, "n4": {"n1"}} {
			if err := peers(w, node, want...); err != nil {
				return err
			}
		}
		return nil
	})
	everybody := func(node string, others ...string) error {
		for _, o := range others {
			n := strings.TrimPrefix(o, "n")
			if err := contains(w.routes(node), fmt.Sprintf("10.244.%s.0/24 via 172.30.0.1%s", n, n),
				fmt.Sprintf("fd00:10:244:%s::/64 via fd00:172:30::1%s", n, n)); err != nil {
				return fmt.Errorf("%s: %w", node, err)
			}
		}
		return nil
	}
	w.until("clients have each other's pods, straight", 15*time.Second, func() error {
		if err := everybody("n2", "n1", "n3", "n4"); err != nil {
			return err
		}
		return everybody("n4", "n1", "n2", "n3")
	})
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the new roles took %s", took)
	}
	// A reflector obeys policies too: addresses of Services stay out of the mesh.
	w.apply(service("web", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	time.Sleep(time.Second)
	if err := lacks(w.routes("n2"), "10.98.0.5"); err != nil {
		t.Error(err)
	}
	w.annotate("n3", "rr.client", "18")
	w.until("a client of another cluster is alone, and says so", 15*time.Second, func() error {
		if err := peers(w, "n3"); err != nil {
			return err
		}
		return contains(w.show("n3", "remarks"), "no node is a reflector of cluster 18")
	})
	w.annotate("n3", "rr.client", "")
	w.until("n3 is in the mesh again", 15*time.Second, func() error { return peers(w, "n3", "n1", "n4") })
}

// peers is an error unless a node's sessions are with exactly these nodes.
func peers(w *world, node string, want ...string) error {
	out := w.show(node, "peers")
	if n := strings.Count(out, "internal"); n != len(want) {
		return fmt.Errorf("%s has %d sessions, want %v:\n%s", node, n, want, out)
	}
	for _, other := range want {
		if contains(out, other+" ESTABLISHED") != nil {
			return fmt.Errorf("%s has no session with %s:\n%s", node, other, out)
		}
	}
	return nil
}

// TestForeignReflectors has BIRD and FRR reflect pod ranges between nodes that don't peer with each other.
func TestForeignReflectors(t *testing.T) {
	args := append(peering(first, second), "--enable-ibgp=false")
	args[1] = "--peer-router-asns=64512,64512"
	w := begin(t, lab.Config{}, args...)
	bird := fmt.Sprintf("router id %s;\n", first)
	for i := 1; i <= 2; i++ {
		bird += fmt.Sprintf(`protocol bgp n%d {
  local %s as 64512; neighbor 172.30.0.1%d as 64512; rr client; connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export all; }; ipv6 { import all; export all; };
}
`, i, first, i)
	}
	r := w.bird("r1", bird)
	config := frrPeers(second, "64512", "", "172.30.0.11", "172.30.0.12")
	for _, n := range []string{"172.30.0.11", "172.30.0.12"} {
		config = strings.ReplaceAll(config, n+" activate\n", n+" activate\n  neighbor "+n+" route-reflector-client\n")
	}
	f := w.frr("r2", config)
	r.says(15*time.Second, "show route", "10.244.1.0/24", "10.244.2.0/24", "fd00:10:244:1::/64")
	f.says(15*time.Second, "show bgp ipv4 unicast", "10.244.1.0/24", "10.244.2.0/24")
	w.annotate("n1", "node.bgp.local-pref", "250")
	r.says(2*time.Second, "show route all for 10.244.1.0/24", "BGP.local_pref: 250")
	f.says(2*time.Second, "show bgp ipv4 unicast 10.244.1.0/24", "localpref 250")
	f.says(15*time.Second, "show bgp ipv4 unicast neighbors 172.30.0.11 advertised-routes", "10.244.2.0/24")
	f.says(15*time.Second, "show bgp ipv6 unicast neighbors 172.30.0.11 advertised-routes", "fd00:10:244:2::/64")
	w.until("n1 has n2's pods, straight", 15*time.Second, func() error {
		return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12", "fd00:10:244:2::/64 via fd00:172:30::12")
	})
	// One reflector goes: the other one has it all.
	if out, err := r.Run(w.ctx, "pkill", "-9", "-x", "bird"); err != nil {
		t.Fatal(err, out)
	}
	w.until("the session with BIRD is over", 5*time.Second, func() error {
		if n := strings.Count(w.show("n1", "peers"), "ESTABLISHED"); n != 1 {
			return fmt.Errorf("%d sessions", n)
		}
		return nil
	})
	if err := contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12", "fd00:10:244:2::/64 via fd00:172:30::12"); err != nil {
		t.Error(err)
	}
}
