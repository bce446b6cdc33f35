//go:build interop

package interop

import (
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestNextHop peers from a second address of the node's. Next hop is the node's own address, as ever, and with
// --override-nexthop our end of the session. What one router teaches, no other router and no other node gets.
func TestNextHop(t *testing.T) {
	const second4, end6 = "172.30.0.111", "fd00:172:30::111"
	for _, c := range []struct{ flag, want4, want6 string }{
		{"false", "172.30.0.11", "fd00:172:30::11"},
		{"true", second4, end6},
	} {
		w := begin(t, lab.Config{}, "--advertise-external-ip=true", "--override-nexthop="+c.flag)
		w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
		for _, a := range []string{second4 + "/32", end6 + "/128"} {
			if out, err := w.node("n1").Run(w.ctx, "ip", "addr", "add", a, "dev", "eth0", "nodad"); err != nil {
				t.Fatal(err, out)
			}
		}
		w.annotate("n1", "bgp-local-addresses", "172.30.0.11,"+second4+","+end6, "peers", `
- {remoteip: 172.30.0.200, remoteasn: 65001, localip: 172.30.0.111}
- {remoteip: "fd00:172:30::201", remoteasn: 65002, localip: "fd00:172:30::111"}`)
		r := w.bird("r1", birdPeers(first, first6, "65001", "", second4))
		f := w.frr("r2", frrPeers(second, "65002", "", end6))
		r.says(15*time.Second, "show route all for 10.244.1.0/24", "BGP.next_hop: "+c.want4+"\n")
		r.says(5*time.Second, "show route all for 10.98.0.1", "BGP.next_hop: "+c.want4+"\n")
		f.says(15*time.Second, "show bgp ipv6 unicast fd00:10:244:1::/64", " "+c.want6+" from "+end6)
		f.says(5*time.Second, "show bgp ipv6 unicast fd00:10:98::1/128", " "+c.want6+" from "+end6)
		// The routes of the other family have no end of the session to be named.
		r.says(5*time.Second, "show route all for fd00:10:98::1", "BGP.next_hop: fd00:172:30::11")
		f.says(5*time.Second, "show bgp ipv4 unicast 10.98.0.1/32", "172.30.0.11 ")
		w.until("n1 has BIRD's route", 10*time.Second, func() error {
			return contains(w.routes("n1"), "198.51.100.0/24 via "+first)
		})
		w.until("n2 has n1's pods", 10*time.Second, func() error { return contains(w.routes("n2"), "10.244.1.0/24 via 172.30.0.11") })
		time.Sleep(time.Second)
		if err := lacks(w.routes("n2"), "198.51.100.0/24", "203.0.113.0/24"); err != nil {
			t.Error("another node has what a router taught: ", err)
		}
		if out := f.ask("show bgp ipv4 unicast"); strings.Contains(out, "198.51.100.0/24") || strings.Contains(out, "10.244.2.0/24") {
			t.Errorf("a router has what another router or node taught:\n%s", out)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
