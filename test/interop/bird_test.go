//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// birdPeers are sessions of a BIRD with the nodes, each over one family for the routes of both, and what it
// announces: a route of its own, and what it had better not.
func birdPeers(self, self6, as, options string, nodes ...string) string {
	config := fmt.Sprintf(`router id %s;
protocol static { ipv4; route 198.51.100.0/24 blackhole; route 0.0.0.0/0 blackhole; route 10.98.0.1/32 blackhole; route 203.0.113.0/24 blackhole; }
protocol static { ipv6; route 2001:db8:51::/48 blackhole; route ::/0 blackhole; }
`, self)
	for i, n := range nodes {
		config += fmt.Sprintf(`protocol bgp n%d {
  local %s as %s; neighbor %s as 64512; connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; next hop address %s; };
  %s
}
`, i+1, self, as, n, self6, options)
	}
	return config
}

// birdBFD makes BIRD speak BFD with peers that have it on.
const birdBFD = `protocol bfd { interface "eth0" { min rx interval 250 ms; min tx interval 250 ms; multiplier 3; }; }
`

// TestBird exchanges routes of both families with BIRD: pod ranges, Services, and what BIRD has.
func TestBird(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	web := service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster")
	w.apply(web)
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11", "172.30.0.12"))
	r.says(10*time.Second, "show protocols", "n1         BGP        ---        up", "n2         BGP        ---        up")
	r.says(2*time.Second, "show route protocol n1",
		"10.244.1.0/24", "fd00:10:244:1::/64", "10.98.0.1/32", "fd00:10:98::1/128")
	r.says(2*time.Second, "show route all for 10.98.0.1 protocol n1", "via 172.30.0.11 on eth0", "BGP.as_path: 64512", "BGP.next_hop: 172.30.0.11")
	r.says(2*time.Second, "show route all for fd00:10:98::1 protocol n2", "via fd00:172:30::12 on eth0", "BGP.next_hop: fd00:172:30::12")
	if out := r.ask("show route protocol n1"); strings.Contains(out, "10.244.2.0/24") {
		t.Errorf("one node announces another's pods:\n%s", out)
	}
	// What BIRD announces is in the nodes' kernels, but for defaults and addresses of our Services.
	w.until("n1 has BIRD's routes", 5*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24 via "+first, "2001:db8:51::/48 via "+first6, "10.244.2.0/24 via 172.30.0.12")
	})
	if err := lacks(w.routes("n1"), "default", "10.98.0.1"); err != nil {
		t.Error(err)
	}
	// An import reject by annotation takes a route back at once, and gives it back.
	w.annotate("n1", "node.bgp.customimportreject", "203.0.112.0/20, 2001:db8::/32")
	w.until("n1 refuses", 2*time.Second, func() error { return lacks(w.routes("n1"), "203.0.113.0/24", "2001:db8:51::") })
	w.annotate("n1", "node.bgp.customimportreject", "")
	w.until("n1 accepts", 2*time.Second, func() error { return contains(w.routes("n1"), "203.0.113.0/24", "2001:db8:51::") })
	w.remove(web)
	r.silent(2*time.Second, "show route", "10.98.0.1/32 unicast", "fd00:10:98::1/128")
	// The address stays one of the range of Services, which no router may teach (decision 0071).
	w.until("n1 says why it takes none", 5*time.Second, func() error {
		return contains(w.show("n1", "remarks"), "Path 10.98.0.1/32", "it lies in --service-external-ip-range")
	})
	if err := lacks(w.routes("n1"), "10.98.0.1 via"); err != nil {
		t.Error(err)
	}
	t.Log("\n" + w.show("n1", "peers"))
}

// TestShowRoutes has two routers teach one prefix: all that the choice goes by is shown, of the best path, and of each when one prefix is asked for.
func TestShowRoutes(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2}, peering(first, second)...)
	longer := "export filter { if source != RTS_STATIC then reject; bgp_path.prepend(3320); bgp_med = 7; bgp_community.add((65002,17)); bgp_large_community.add((65002,1,2)); accept; }"
	w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	w.bird("r2", strings.ReplaceAll(birdPeers(second, second6, "65002", "", "172.30.0.11"), "export where source = RTS_STATIC", longer))
	for prefix, hops := range map[string][2]string{"198.51.100.0/24": {first, second}, "2001:db8:51::/48": {first6, second6}} {
		w.until("both routers' paths are shown", 15*time.Second, func() error {
			return contains(w.show("n1", "routes", prefix),
				fmt.Sprintf("%s %s router %s 65001 best\n", prefix, hops[0], first),
				fmt.Sprintf("%s %s router %s 65002 3320 MED 7 65002:17 65002:1:2\n", prefix, hops[1], second))
		})
		out := w.show("n1", "routes")
		if err := contains(out, fmt.Sprintf("%s %s router 65001 best\n", prefix, hops[0])); err != nil {
			t.Error(err)
		}
		if err := lacks(out, "3320"); err != nil {
			t.Error(err)
		}
	}
	if err := contains(w.show("n1", "routes"), "10.244.1.0/24 172.30.0.11 advertised", "10.244.2.0/24 172.30.0.12 node n2 best"); err != nil {
		t.Error(err)
	}
}

// TestBirdAttributes changes what is announced, live: no session ends for it.
func TestBirdAttributes(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, peering(first)...)
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	r.says(10*time.Second, "show route all for 10.98.0.1", "BGP.as_path: 64512\n")
	begun := upSince(r, "n1")
	w.annotate("n1", "node.bgp.communities", "64512:17, 4200000001:1:2, no-export, 4294967041",
		"path-prepend.as", "64600", "path-prepend.repeat-n", "3", "node.bgp.med", "42", "node.bgp.local-pref", "250")
	for _, prefix := range []string{"10.98.0.1", "fd00:10:98::1", "10.244.1.0/24"} {
		r.says(2*time.Second, "show route all for "+prefix, "BGP.as_path: 64600 64600 64600 64512",
			"BGP.community: (64512,17) (65535,65281)\n", "(4200000001, 1, 2)", "BGP.med: 42")
	}
	w.annotate("n1", "node.bgp.communities", "", "path-prepend.as", "", "path-prepend.repeat-n", "", "node.bgp.med", "0")
	r.says(2*time.Second, "show route all for 10.98.0.1", "BGP.as_path: 64512\n", "BGP.med: 0")
	r.silent(2*time.Second, "show route all for 10.98.0.1", "community")
	if now := upSince(r, "n1"); !now.is(begun) {
		t.Errorf("the session that stood since %s stands since %s", begun, now)
	}
}

// since is when a session began, as BIRD tells it: reckoned each time from a clock that isn't set, which gives some milliseconds more or less.
type since struct{ time.Time }

func (s since) String() string { return s.Format("15:04:05.000") }

func (s since) is(other since) bool { return s.Sub(other.Time).Abs() < 100*time.Millisecond }

// upSince is when BIRD's session began.
func upSince(r *router, protocol string) since {
	r.w.t.Helper()
	for _, line := range strings.Split(r.ask("show protocols "+protocol), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[0] == protocol {
			at, err := time.Parse("15:04:05.000", f[4])
			if err != nil {
				r.w.t.Fatal(err)
			}
			return since{at}
		}
	}
	r.w.t.Fatalf("no protocol %s", protocol)
	return since{}
}

// TestBirdPassword needs the right password, of this router and not of the other.
func TestBirdPassword(t *testing.T) {
	args := append(peering(first, second), "--peer-router-passwords=c2VjcmV0,") // "secret", and none
	w := begin(t, lab.Config{Nodes: 1}, args...)
	good := birdPeers(first, first6, "65001", `password "secret";`, "172.30.0.11")
	r := w.bird("r1", good)
	other := w.bird("r2", birdPeers(second, second6, "65002", "", "172.30.0.11"))
	r.says(10*time.Second, "show protocols n1", "Established")
	other.says(10*time.Second, "show protocols n1", "Established")
	begun := upSince(other, "n1")
	r.reconfigure(birdPeers(first, first6, "65001", `password "wrong";`, "172.30.0.11"))
	time.Sleep(4 * time.Second)
	if out := r.ask("show protocols n1"); strings.Contains(out, "Established") {
		t.Errorf("a session with a wrong password:\n%s", out)
	}
	r.reconfigure(good)
	r.says(20*time.Second, "show protocols n1", "Established")
	if now := upSince(other, "n1"); !now.is(begun) {
		t.Errorf("the other session ended too: it stood since %s, now since %s", begun, now)
	}
	for _, out := range []string{w.show("n1", "rows", "bgp"), w.node("n1").DaemonLog()} {
		if strings.Contains(out, "c2VjcmV0") || strings.Contains(out, `"secret"`) || strings.Contains(out, "password secret") {
			t.Errorf("the password shows:\n%s", out)
		}
	}
}

// TestNodePeers takes a node's peers from its annotation, live, in YAML and in the older form.
func TestNodePeers(t *testing.T) {
	w := begin(t, lab.Config{}, "--advertise-external-ip=true")
	r := w.bird("r1", birdBFD+birdPeers(first, first6, "65001", "bfd on;", "172.30.0.11", "172.30.0.12"))
	other := w.bird("r2", birdPeers(second, second6, "65002", `password "secret";`, "172.30.0.11"))
	w.annotate("n1", "peers", `
- {remoteip: 172.30.0.200, remoteasn: 65001, bfd: {enabled: true, desired_min_tx_interval: 250, required_min_rx_interval: 250}}
- {remoteip: 172.30.0.201, remoteasn: 65002, password: c2VjcmV0, localip: 172.30.0.11}`)
	r.says(12*time.Second, "show protocols n1", "Established")
	other.says(12*time.Second, "show protocols n1", "Established")
	r.says(10*time.Second, "show bfd sessions", "172.30.0.11 eth0 Up") // with this peer alone, by its own parameters
	if err := contains(w.show("n1", "peers"), "UP"); err != nil {
		t.Error(err)
	}
	if out := r.ask("show protocols n2"); strings.Contains(out, "Established") {
		t.Errorf("n2 has no such peer:\n%s", out)
	}
	begun := upSince(r, "n1")
	w.annotate("n1", "peers", "- {remoteip: 172.30.0.200, remoteasn: 65001, bfd: {enabled: true, desired_min_tx_interval: 250, required_min_rx_interval: 250}}")
	w.until("the other session ends", 3*time.Second, func() error { return lacks(other.ask("show protocols n1"), "Established") })
	w.annotate("n1", "peers", "", "peer.ips", "172.30.0.200", "peer.asns", "65001", "peer.ports", "179")
	w.annotate("n2", "peer.ips", "172.30.0.200", "peer.asns", "65001")
	r.says(12*time.Second, "show protocols n2", "Established")
	if now := upSince(r, "n1"); !now.is(begun) {
		t.Errorf("n1's session ended for nothing: it stood since %s, now since %s", begun, now)
	}
	if out := w.show("n1", "peers"); strings.Count(out, "ESTABLISHED") != 2 {
		t.Errorf("want sessions with n2 and the router:\n%s", out)
	}
}
