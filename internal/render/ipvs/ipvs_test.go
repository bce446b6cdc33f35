package ipvs

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func backend(s string, local bool) intent.Backend {
	a := netip.MustParseAddrPort(s)
	return intent.Backend{Addr: a.Addr(), Port: a.Port(), Local: local, Pod: "default/p"}
}

func text[T fmt.Stringer](rows []T) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func check(t *testing.T, name, want, have string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimPrefix(want, "\n"), have); d != "" {
		t.Errorf("%s: want - have +:\n%s", name, d)
	}
}

func unmarked(MarkOwner) uint32 { return 0 }

// marked is 7 for the side of all and 8 for the near one, where the front needs them.
func marked(s *intent.Service, away bool) func(MarkOwner) uint32 {
	return func(o MarkOwner) uint32 {
		for _, m := range Marked(s, away) {
			if m == o {
				return 7 + uint32(o.Side)
			}
		}
		return 0
	}
}

func web() *intent.Service {
	return &intent.Service{
		Front: intent.Front{Addr: ip("10.99.0.1"), Port: 80, Protocol: 6}, Kind: intent.BalancerFront,
		Backends: []intent.Backend{backend("10.244.1.1:80", true), backend("10.244.2.1:80", false)},
	}
}

func TestPlain(t *testing.T) {
	s := web()
	draining := backend("10.244.3.1:80", false)
	draining.Grace = time.Minute
	s.Keep = []intent.Backend{draining}
	s.Affinity = 3 * time.Hour
	rows := Service(s, unmarked)
	check(t, "rows", `
-A -t 10.99.0.1:80 -s rr -p 10800
-a -t 10.99.0.1:80 -r 10.244.1.1:80 -m -w 1
-a -t 10.99.0.1:80 -r 10.244.2.1:80 -m -w 1
-a -t 10.99.0.1:80 -r 10.244.3.1:80 -m -w 0
`, text(rows))
	check(t, "linux", `
link kube-dummy-if up type dummy
addr 10.99.0.1/32 dev kube-dummy-if scope link
route local 10.99.0.1 dev lo table local proto 17 src 192.0.2.1
`, text(Address([]*intent.Service{s}, unmarked, ip("192.0.2.1"), true)))
}

func TestLocalPolicyIsTwoVirtualServers(t *testing.T) {
	s := web()
	s.Far, s.Near = true, s.Backends[:1]
	check(t, "rows", `
-A -t 10.99.0.1:80 -s rr
-a -t 10.99.0.1:80 -r 10.244.1.1:80 -m -w 1
-a -t 10.99.0.1:80 -r 10.244.2.1:80 -m -w 0
-A -f 8 -s rr
-a -f 8 -r 10.244.1.1:80 -m -w 1
-a -f 8 -r 10.244.2.1:80 -m -w 1
`, text(Service(s, marked(s, false))))
}

func TestDirect(t *testing.T) {
	s := web()
	s.DSR, s.Scheduler, s.Flags = true, "mh", []string{"mh-port"}
	s.Backends[0].Port, s.Backends[1].Port = 80, 80
	check(t, "rows", `
-A -f 7 -s mh -b mh-port
-a -f 7 -r 10.244.1.1:80 -i -w 1 --tun-type ipip
-a -f 7 -r 10.244.2.1:80 -i -w 1 --tun-type ipip
`, text(Service(s, marked(s, true))))
	plain := web()
	plain.Port = 443
	check(t, "linux, with another front that must be marked too", `
route local default dev lo table 78 proto 17
rule 32765: from all lookup 79 proto 17
route 10.99.0.1 dev kube-bridge table 79 proto 17
rule 32764: from all fwmark 0x7/0x3fff lookup 78 proto 17
rule 32764: from all fwmark 0x7/0x3fff lookup 78 proto 17
`, text(Address([]*intent.Service{s, plain}, func(MarkOwner) uint32 { return 7 }, ip("192.0.2.1"), true)))
	check(t, "pods", "pod default/p at 10.244.1.1: addr 10.99.0.1/32 dev kube-tunnel-if\n", text(PodVIPs(s)))
	check(t, "sysctls", "net.ipv4.vs.sloppy_tcp = 1\n", text(Sloppy(s)))
	check(t, "the other front has none of this", "", text(PodVIPs(plain))+text(Sloppy(plain)))
}

func TestNftablesChoosesAheadWhereIpvsCant(t *testing.T) {
	for _, c := range []struct {
		addr, scheduler string
		protocol        uint8
		affinity        time.Duration
		dsr             bool
		ahead           bool
		remarks         int
	}{
		{"10.99.0.1", "mh", 6, 0, false, false, 0},
		{"fd00:99::1", "mh", 6, 0, false, true, 1},
		{"fd00:99::1", "mh", 6, 0, true, false, 1},
		{"fd00:99::1", "sh", 6, 0, false, false, 0},
		{"10.99.0.1", "", 6, time.Hour, false, true, 0},
		{"10.99.0.1", "", 6, time.Hour, true, false, 1},
		{"10.99.0.1", "lc", 6, time.Hour, false, true, 1},
		{"10.99.0.1", "", 17, 0, false, true, 0},
		{"10.99.0.1", "lc", 17, 0, false, true, 1},
		{"10.99.0.1", "", 17, 0, true, false, 0},
	} {
		s := web()
		s.Addr, s.Scheduler, s.Protocol, s.Affinity, s.DSR = ip(c.addr), intent.Scheduler(c.scheduler), c.protocol, c.affinity, c.dsr
		if got := Remarks(s); Ahead(s) != c.ahead || len(got) != c.remarks {
			t.Errorf("%+v: ahead %t, remarks %q", c, Ahead(s), got)
		}
	}
}

func TestDrainingAndSchedulers(t *testing.T) {
	s := web()
	s.Backends, s.Keep = s.Backends[:1], s.Backends[1:]
	s.Scheduler = "sh"
	check(t, "sh falls back", `
-A -t 10.99.0.1:80 -s sh -b sh-fallback
-a -t 10.99.0.1:80 -r 10.244.1.1:80 -m -w 1
-a -t 10.99.0.1:80 -r 10.244.2.1:80 -m -w 0
`, text(Service(s, unmarked)))
	s.Scheduler = "dh"
	check(t, "dh can't", `
-A -t 10.99.0.1:80 -s dh
-a -t 10.99.0.1:80 -r 10.244.1.1:80 -m -w 1
`, text(Service(s, unmarked)))
	if len(Remarks(s)) != 1 {
		t.Errorf("remarks: %v", Remarks(s))
	}
}

func TestAFrontWithoutEndpointsHasNoVirtualServer(t *testing.T) {
	s := web()
	s.Backends = nil
	if rows := Service(s, unmarked); len(rows) > 0 {
		t.Errorf("have %v", rows)
	}
}

func owners(n int) []MarkOwner {
	var list []MarkOwner
	for i := range n {
		list = append(list, MarkOwner{intent.Front{Addr: netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)}), Port: 80, Protocol: 6}, Side(i % 2)})
	}
	return list
}

// TestMarks: no two owners share one, arrival doesn't count, and who comes or goes moves few others.
func TestMarks(t *testing.T) {
	list := owners(3000)
	marks := Marks(list)
	seen := map[uint32]MarkOwner{}
	for o, m := range marks {
		if other, ok := seen[m]; ok || m == 0 || m > maxMark {
			t.Fatalf("%v and %v have mark %d", o, other, m)
		}
		seen[m] = o
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if d := cmp.Diff(marks, Marks(append(list, list[:10]...)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || len(marks) != 3000 {
		t.Errorf("%d marks; another order gives others:\n%s", len(marks), d)
	}
	moved := 0
	for o, m := range Marks(list[1:]) {
		if marks[o] != m {
			moved++
		}
	}
	if moved > 5 {
		t.Errorf("one owner went and %d marks changed", moved)
	}
}

func TestMarksRunOut(t *testing.T) {
	if n := len(Marks(owners(maxMark + 50))); n != maxMark {
		t.Errorf("%d marks of %d", n, maxMark)
	}
}

// TestWeights: as they are, but where the scheduler makes something else of them.
func TestWeights(t *testing.T) {
	list := []intent.Backend{{}, {Weight: 300}, {Weight: 600}}
	for scheduler, want := range map[intent.Scheduler]string{
		"": "[1 300 600]", "wrr": "[1 300 600]", "nq": "[1 300 600]", "mh": "[1 300 600]", "fo": "[1 300 600]",
		"sh": "[1 85 169]", "ovf": "[65535 300 600]",
	} {
		if got := fmt.Sprint(weights(scheduler, list)); got != want {
			t.Errorf("scheduler %q: %s; want %s", scheduler, got, want)
		}
	}
}
