//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// birdPeers6 are sessions of a BIRD with the nodes over IPv6, for the routes of both families or of IPv6 alone.
func birdPeers6(self, self6, as, options string, both bool, nodes ...string) string {
	config := fmt.Sprintf(`router id %s;
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
protocol static { ipv6; route 2001:db8:51::/48 blackhole; }
`, self)
	v4 := ""
	if both {
		v4 = fmt.Sprintf("ipv4 { import all; export where source = RTS_STATIC; next hop address %s; };", self)
	}
	for i, n := range nodes {
		config += fmt.Sprintf(`protocol bgp n%d {
  local %s as %s; neighbor %s as 64512; connect retry time 1; connect delay time 1; error wait time 1, 2;
  %s
  ipv6 { import all; export where source = RTS_STATIC; };
  %s
}
`, i+1, self6, as, n, v4, options)
	}
	return config
}

// TestOverIPv6 has sessions over IPv6, with passwords, for the routes of both families.
func TestOverIPv6(t *testing.T) {
	w := begin(t, lab.Config{}, append(peering(first6, second6), "--peer-router-passwords=c2VjcmV0,b3RoZXI=")...) // "secret", "other"
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	r := w.bird("r1", birdPeers6(first, first6, "65001", `password "secret";`, true, "fd00:172:30::11", "fd00:172:30::12"))
	f := w.frr("r2", frrPeers(second, "65002", "password other", "fd00:172:30::11", "fd00:172:30::12"))
	r.says(10*time.Second, "show route protocol n1", "10.244.1.0/24", "fd00:10:244:1::/64", "10.98.0.1/32", "fd00:10:98::1/128")
	r.says(2*time.Second, "show route all for 10.98.0.1 protocol n1", "via 172.30.0.11 on eth0")
	r.says(2*time.Second, "show route all for fd00:10:98::1 protocol n2", "via fd00:172:30::12 on eth0")
	f.says(15*time.Second, "show bgp ipv6 unicast fd00:10:98::1/128", "fd00:172:30::11", "(2 available")
	w.until("n1 has both routers' routes", 10*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24 via "+first, "2001:db8:51::/48 via "+first6, "2001:db8:52::/48 via")
	})
}

// TestIPv6Alone is a cluster without IPv4, whose router ids are made up (RFC 6286).
func TestIPv6Alone(t *testing.T) {
	w := begin(t, lab.Config{Families: lab.IPv6Only}, peering(first6)...)
	r := w.bird("r1", birdPeers6(first, first6, "65001", "", false, "fd00:172:30::11", "fd00:172:30::12"))
	r.says(10*time.Second, "show route protocol n1", "fd00:10:244:1::/64")
	r.says(10*time.Second, "show route protocol n2", "fd00:10:244:2::/64")
	w.until("n1 has n2's pods and BIRD's route", 5*time.Second, func() error {
		return contains(w.routes("n1"), "fd00:10:244:2::/64 via fd00:172:30::12", "2001:db8:51::/48 via "+first6)
	})
	ids := map[string]bool{}
	for _, n := range []string{"n1", "n2"} {
		for line := range strings.Lines(r.ask("show protocols all " + n)) {
			if _, id, ok := strings.Cut(line, "Neighbor ID:"); ok {
				ids[strings.TrimSpace(id)] = true
			}
		}
	}
	if len(ids) != 2 || ids["0.0.0.0"] {
		t.Errorf("router ids: %v", ids)
	}
}
