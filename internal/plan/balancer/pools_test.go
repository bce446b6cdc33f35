package balancer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// rangeOf reads FIRST-LAST or a CIDR.
func rangeOf(text string) model.AddrRange {
	if p, err := netip.ParsePrefix(text); err == nil {
		return model.RangeOf(p)
	}
	from, to, two := strings.Cut(text, "-")
	if !two {
		to = from
	}
	return model.AddrRange{First: netip.MustParseAddr(from), Last: netip.MustParseAddr(to)}
}

// pool makes an AddressPool; the later in the test, the younger.
func pool(name string, age int, ranges string, change ...func(*model.Pool)) *model.Pool {
	p := &model.Pool{Name: name, Created: time.Unix(int64(1000+age), 0), Balancer: true, AutoAssign: true, AvoidEdges: true, Priority: 100}
	for _, r := range strings.Fields(ranges) {
		p.Ranges = append(p.Ranges, rangeOf(r))
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func labelled(k, v string) model.Selector {
	return model.Selector{Requirements: []model.Requirement{{Key: k, Op: model.In, Values: []string{v}}}}
}

func TestPools(t *testing.T) {
	manual := func(p *model.Pool) { p.AutoAssign = false }
	for _, c := range []struct {
		what     string
		objects  []model.Object
		services []*model.Service
		want     string
		remarks  []string // parts of them, in order of what is said of whom
	}{
		{"pools come before the flags' range", []model.Object{pool("a", 0, "198.51.100.8-198.51.100.9")},
			[]*model.Service{service("a"), service("b"), service("c")}, "a 198.51.100.8, b 198.51.100.9, c 192.0.2.1", []string{"AddressPool a: no IPv4 address is left"}},
		{"by priority, then by age", []model.Object{pool("old", 0, "198.51.100.8"), pool("first", 1, "198.51.100.9", func(p *model.Pool) { p.Priority = 1 })},
			[]*model.Service{service("a"), service("b")}, "a 198.51.100.9, b 198.51.100.8", []string{"first: no IPv4", "old: no IPv4"}},
		{"edges are avoided", []model.Object{pool("a", 0, "198.51.100.254-198.51.101.1", func(p *model.Pool) { p.Priority = 1 })},
			[]*model.Service{service("a"), service("b"), service("c")}, "a 198.51.100.254, b 198.51.101.1, c 192.0.2.1", []string{"no IPv4 address"}},
		{"edges are given when wanted", []model.Object{pool("a", 0, "198.51.100.0/31", func(p *model.Pool) { p.AvoidEdges = false }), pool("b", 0, "198.51.100.0/30")},
			[]*model.Service{service("a"), service("b"), service("c")}, "a 198.51.100.0, b 198.51.100.1, c 198.51.100.2", []string{"a: no IPv4", "b: spec.addresses: some of its addresses belong to a", "b: no IPv4"}},
		{"exceptions", []model.Object{pool("a", 0, "198.51.100.0/24", func(p *model.Pool) { p.Exclude = []model.AddrRange{rangeOf("198.51.100.0/29")} })},
			[]*model.Service{service("a")}, "a 198.51.100.8", nil},
		{"not by itself, but when asked for", []model.Object{pool("a", 0, "198.51.100.0/24", manual)},
			[]*model.Service{service("a"), service("b", request("198.51.100.7")), service("c", func(s *model.Service) { s.Pool = "a" })}, "a 192.0.2.1, b 198.51.100.7, c 198.51.100.1", nil},
		{"of the pool that is asked for alone", []model.Object{pool("a", 0, "198.51.100.7")},
			[]*model.Service{service("a"), service("b", func(s *model.Service) { s.Pool = "a" })}, "a 198.51.100.7", []string{"every IPv4 address", "a: no IPv4"}},
		{"by the Service's labels", []model.Object{pool("a", 0, "198.51.100.7", func(p *model.Pool) { p.Services = labelled("tier", "web") })},
			[]*model.Service{service("a"), service("b", func(s *model.Service) { s.Labels = map[string]string{"tier": "web"} })}, "a 192.0.2.1, b 198.51.100.7", []string{"a: no IPv4"}},
		{"by the namespace's", []model.Object{pool("a", 0, "198.51.100.7", func(p *model.Pool) { p.Namespaces = labelled("team", "x") }),
			&model.Namespace{Name: "default", Labels: map[string]string{"team": "x"}}}, []*model.Service{service("a")}, "a 198.51.100.7", []string{"a: no IPv4"}},
		{"of a namespace that nobody knows none", []model.Object{pool("a", 0, "198.51.100.7", func(p *model.Pool) { p.Namespaces = labelled("team", "x") })},
			[]*model.Service{service("a")}, "a 192.0.2.1", nil},
		{"who is selected no more moves", []model.Object{pool("a", 0, "198.51.100.7", func(p *model.Pool) { p.Services = labelled("tier", "web") })},
			[]*model.Service{service("a", status("198.51.100.7"))}, "a 192.0.2.1", []string{"198.51.100.7 is taken away, AddressPool a does not select the Service: the Service moves to 192.0.2.1"}},
		{"what one leaves another gets", []model.Object{pool("a", 0, "198.51.100.7", func(p *model.Pool) { p.Services = labelled("tier", "web") })},
			[]*model.Service{service("a", status("198.51.100.7")), service("b", func(s *model.Service) { s.Labels = map[string]string{"tier": "web"} })},
			"a 192.0.2.1, b 198.51.100.7", []string{"taken away", "a: no IPv4"}},
		{"a pool that moved moves its Services", []model.Object{pool("a", 0, "198.51.100.16/30")},
			[]*model.Service{service("a", status("198.51.100.7"))}, "a 198.51.100.17", []string{"it is in no AddressPool that the Service may have an address of: the Service moves to 198.51.100.17"}},
		{"a disabled one keeps what it gave", []model.Object{pool("a", 0, "198.51.100.7-198.51.100.9", func(p *model.Pool) { p.Disabled = true })},
			[]*model.Service{service("a", status("198.51.100.7")), service("b"), service("c", request("198.51.100.8"))}, "a 198.51.100.7, b 192.0.2.1",
			[]string{"198.51.100.8 belongs to AddressPool a, which is not for this Service"}},
		{"the older has what two have", []model.Object{pool("young", 2, "198.51.100.0/29"), pool("old", 1, "198.51.100.0/30", func(p *model.Pool) { p.Priority = 900 })},
			[]*model.Service{service("a")}, "a 198.51.100.4", []string{"young: spec.addresses: some of its addresses belong to old, which is older"}},
		{"what is for egress is for no Service", []model.Object{pool("a", 0, "192.0.2.0/30", func(p *model.Pool) { p.Balancer, p.Egress = false, true })},
			[]*model.Service{service("a"), service("b", request("192.0.2.1"))}, "a 192.0.2.4", []string{"192.0.2.1 belongs to AddressPool a, which is not for this Service"}},
		{"a subnet's ends are nobody's", []model.Object{pool("a", 0, "198.51.100.8-198.51.100.16"), &model.Link{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/29")}}},
			[]*model.Service{service("a"), service("b", request("198.51.100.15"))}, "a 198.51.100.9, b 198.51.100.15", nil},
		{"running short is told before", []model.Object{pool("a", 0, "198.51.100.1-198.51.100.10")},
			[]*model.Service{service("a", status("198.51.100.1")), service("b", status("198.51.100.2")), service("c", status("198.51.100.3")), service("d", status("198.51.100.4")),
				service("e", status("198.51.100.5")), service("f", status("198.51.100.6")), service("g", status("198.51.100.7")), service("h", status("198.51.100.8")), service("i")},
			"a 198.51.100.1, b 198.51.100.2, c 198.51.100.3, d 198.51.100.4, e 198.51.100.5, f 198.51.100.6, g 198.51.100.7, h 198.51.100.8, i 198.51.100.9",
			[]string{"less than a tenth of its IPv4 addresses is left"}},
	} {
		m := world("192.0.2.0/24")
		for _, o := range c.objects {
			m.Put(o)
		}
		for _, s := range c.services {
			m.Put(s)
		}
		list, _, remarks := Plan(m, nil)
		var got []string
		for _, b := range list {
			got = append(got, strings.TrimPrefix(b.String(), "default/"))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q, want %q", c.what, text, c.want)
		}
		ok := len(remarks) == len(c.remarks)
		for i := range min(len(remarks), len(c.remarks)) {
			ok = ok && strings.Contains(remarks[i].String(), c.remarks[i])
		}
		if !ok {
			t.Errorf("%s: remarks %q, want %q", c.what, remarks, c.remarks)
		}
	}
}

// TestUsage compares what is counted with a count one by one.
func TestUsage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	addr := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(3)), byte(random.IntN(256))})
	}
	for range 400 {
		m := world()
		for i := range 1 + random.IntN(3) {
			p := pool(fmt.Sprint("p", i), i, "", func(p *model.Pool) { p.AvoidEdges = random.IntN(2) == 0 })
			for range 1 + random.IntN(3) {
				r := model.RangeOf(netip.PrefixFrom(addr(), 22+random.IntN(11)))
				if random.IntN(2) == 0 {
					a, b := addr(), addr()
					r = model.AddrRange{First: slices.MinFunc([]netip.Addr{a, b}, netip.Addr.Compare), Last: slices.MaxFunc([]netip.Addr{a, b}, netip.Addr.Compare)}
				}
				if !slices.ContainsFunc(p.Ranges, r.Overlaps) {
					p.Ranges = append(p.Ranges, r)
				}
			}
			if random.IntN(2) == 0 {
				p.Exclude = []model.AddrRange{model.RangeOf(netip.PrefixFrom(addr(), 24+random.IntN(9)))}
			}
			m.Put(p)
		}
		m.Put(service("a", external(addr().String())))
		m.Put(&model.Node{Name: "n", InternalIPs: []netip.Addr{addr()}})
		m.Put(service("b", status(addr().String())))
		_, pools, _ := Plan(m, nil)
		for _, p := range pools {
			if want := count(m, p.Name); p.V4 != nil && *p.V4 != want {
				t.Fatalf("%s of %v: %+v, want %+v", p.Name, m.PoolsByAge()[0], *p.V4, want)
			}
		}
	}
	six := world()
	six.Put(pool("a", 0, "2001:db8::/64 2001:db8:1::/120"))
	if _, pools, _ := Plan(six, nil); pools[0].V6.Total != 1<<63-1 || pools[0].V6.Available != 1<<63-1 {
		t.Errorf("%+v", *pools[0].V6)
	}
}

// count counts a pool's addresses one by one.
func count(m *model.Model, name string) intent.Usage {
	var u intent.Usage
	list, _, _ := Plan(m, nil)
	held := map[netip.Addr]bool{}
	for _, b := range list {
		held[b.V4] = true
	}
	for a := netip.MustParseAddr("10.0.0.0"); a.Compare(netip.MustParseAddr("10.0.4.0")) < 0; a = a.Next() {
		var owner *model.Pool
		for _, p := range m.PoolsByAge() {
			if owner == nil && p.Holds(a) {
				owner = p
			}
		}
		if owner == nil || owner.Name != name || slices.ContainsFunc(owner.Exclude, func(r model.AddrRange) bool { return r.Contains(a) }) {
			continue
		}
		if held[a] {
			u.Assigned++
		}
		if owner.Has(a) {
			u.Total++
			if !held[a] && m.NodeAt(a) == nil && !slices.ContainsFunc(slices.Collect(maps.Values(m.Services)), func(s *model.Service) bool { return slices.Contains(s.ExternalIPs, a) }) {
				u.Available++
			}
		}
	}
	return u
}
