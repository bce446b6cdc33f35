package nft

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

func backend(s string) intent.Backend {
	a := netip.MustParseAddrPort(s)
	return intent.Backend{Addr: a.Addr(), Port: a.Port()}
}

func here(s string) intent.Backend {
	b := backend(s)
	b.Local = true
	return b
}

func tcp(s string) intent.Front {
	a := netip.MustParseAddrPort(s)
	return intent.Front{Addr: a.Addr(), Port: a.Port(), Protocol: 6}
}

func script(rows []row.Nft) string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Replace(r.String(), " inet kube-router", "", 1))
	}
	return strings.Join(lines, "\n")
}

// update rewrites the golden file: go test ./internal/render/nft -run Golden -update
var update = flag.Bool("update", false, "rewrite the golden files")

// TestGoldenServices compares all that is rendered with testdata/service.golden, which is meant to be read:
// it shows in nft's words what every sort of front becomes.
func TestGoldenServices(t *testing.T) {
	two := []intent.Backend{backend("10.244.1.5:8080"), here("10.244.2.5:8080")}
	near := []intent.Backend{here("10.244.2.5:8080")}
	sources := []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.18.3.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	var out strings.Builder
	show := func(title string, rows []row.Nft) {
		fmt.Fprintf(&out, "# %s\n%s\n\n", title, script(rows))
	}
	show("skeleton", ServiceSkeleton(ServiceParams{IPv4: true, Self: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")},
		Best: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		Sure: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Inside: []netip.Prefix{
			netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244::/64")}}))
	for _, c := range []struct {
		title string
		s     intent.Service
	}{
		{"cluster address", intent.Service{Front: tcp("10.96.0.10:80"), Backends: two}},
		{"nobody answers", intent.Service{Front: tcp("[fd00:96::1]:80")}},
		{"nobody answers here, somebody elsewhere", intent.Service{Front: tcp("10.96.0.10:80"), Silent: true}},
		{"nobody answers at a node port", intent.Service{Front: tcp("192.0.2.1:30080"), Kind: intent.NodeFront, Far: true, KeepSource: true}},
		{"node port, policy Cluster", intent.Service{Front: tcp("192.0.2.1:30080"), Kind: intent.NodeFront, Backends: two}},
		{"node port, policy Local", intent.Service{Front: tcp("192.0.2.1:30080"), Kind: intent.NodeFront, Far: true, KeepSource: true, Backends: two, Near: near}},
		{"node port, policy Local, nobody here", intent.Service{Front: tcp("192.0.2.1:30080"), Kind: intent.NodeFront, Far: true, KeepSource: true, Backends: two[:1]}},
		{"affinity, sources, rr", intent.Service{Front: tcp("203.0.113.9:80"), Kind: intent.BalancerFront, Scheduler: "rr", Affinity: time.Hour, Sources: sources, Backends: two[:1]}},
		{"source hash, masquerade all, IPv6", intent.Service{Front: tcp("[fd00:96::1]:80"), Scheduler: "sh", Masquerade: true,
			Backends: []intent.Backend{backend("[fd00:244::5]:80"), backend("[fd00:244::6]:80"), backend("[fd00:244::7]:80")}}},
	} {
		show(c.title, Service(&c.s))
	}
	const file = "testdata/service.golden"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestNamesTellClassesApart: two classes with one chain name would fight for its rules.
func TestNamesTellClassesApart(t *testing.T) {
	seen := map[string]string{}
	for _, s := range variety() {
		c := classOf(&s)
		if len(s.Backends) == 0 {
			continue
		}
		for _, r := range c.rows() {
			if old, ok := seen[r.Key().String()]; ok && old != r.String() {
				t.Errorf("%s is\n%s and\n%s", r.Key(), old, r)
			}
			seen[r.Key().String()] = r.String()
		}
	}
}

// variety is a front of every combination of what a class depends on.
func variety() []intent.Service {
	var list []intent.Service
	all := []intent.Backend{backend("10.244.1.5:80"), backend("10.244.1.6:80"), backend("10.244.1.7:80")}
	for i := range 1 << 9 {
		bit := func(n int) bool { return i>>n&1 == 1 }
		s := intent.Service{Front: tcp("10.96.0.10:80"), Backends: all[:1+i&1]}
		if bit(1) {
			s.Front = tcp("10.96.0.11:80")
		}
		if bit(2) {
			s.Scheduler = "rr"
		}
		if bit(3) {
			s.Scheduler += "mh"
			s.Scheduler = s.Scheduler[:2]
		}
		if bit(4) {
			s.Affinity = time.Minute
		}
		if bit(5) {
			s.Far, s.KeepSource, s.Kind = true, true, intent.NodeFront
		}
		if bit(6) {
			s.Near = all[:2]
		}
		s.Masquerade = bit(7)
		if bit(8) {
			s.Sources = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")}
		}
		list = append(list, s)
	}
	return list
}

func TestServiceRemarks(t *testing.T) {
	for scheduler, want := range map[intent.Scheduler]int{"": 0, "rr": 0, "wrr": 0, "mh": 0, "sh": 0, "dh": 0, "lc": 1, "sed": 1, "nq": 1} {
		if got := ServiceRemarks(&intent.Service{Scheduler: scheduler}); len(got) != want {
			t.Errorf("scheduler %q: remarks %q; want %d", scheduler, got, want)
		}
	}
}

// TestMaglev: shares are even, and when one of ten backends goes, the flows of the others stay (issue: at
// most 15 % of all flows move, of which 10 % must).
func TestMaglev(t *testing.T) {
	for _, n := range []int{2, 3, 10, 11, 30, 100} {
		var list []intent.Backend
		for i := range n {
			list = append(list, intent.Backend{Addr: netip.AddrFrom4([4]byte{10, 244, byte(i % 3), byte(i)}), Port: 80})
		}
		list = intent.SortBackends(list)
		full := maglev(list, maglevSize(n))
		share := map[intent.Backend]int{}
		for _, b := range full {
			share[b]++
		}
		fair := float64(len(full)) / float64(n)
		for _, b := range list {
			if got := float64(share[b]); got < fair*0.9-1 || got > fair*1.1+1 {
				t.Errorf("n=%d: %s has %v of %d slots; fair is %.1f", n, b, got, len(full), fair)
			}
		}
		for gone := range list {
			rest := append(append([]intent.Backend{}, list[:gone]...), list[gone+1:]...)
			moved := 0
			for i, b := range maglev(rest, maglevSize(n)) {
				if b != full[i] {
					moved++
				}
			}
			if got := float64(moved) / float64(len(full)); got > 1/float64(n)+0.05 {
				t.Errorf("n=%d: without %s, %.1f %% of the slots move", n, list[gone], got*100)
			}
		}
	}
}
