package balancer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/model"
)

func world(ranges ...string) *model.Model {
	set := model.Settings{Balancer: true, IPv4: true, IPv6: true}
	set.Allocator.DefaultClass = true
	for _, r := range ranges {
		set.Allocator.Ranges = append(set.Allocator.Ranges, netip.MustParsePrefix(r))
	}
	return model.New(set)
}

func service(name string, change ...func(*model.Service)) *model.Service {
	s := &model.Service{Name: model.Name{Namespace: "default", Name: name}, Type: model.LoadBalancer}
	s.Families, s.DualStack = []model.Family{model.IPv4}, "SingleStack"
	s.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 80}}
	for _, c := range change {
		c(s)
	}
	return s
}

func status(a string) func(*model.Service) {
	return func(s *model.Service) { s.Ingress = append(s.Ingress, model.Ingress{Addr: netip.MustParseAddr(a)}) }
}

func external(a string) func(*model.Service) {
	return func(s *model.Service) { s.ExternalIPs = append(s.ExternalIPs, netip.MustParseAddr(a)) }
}

func request(a string) func(*model.Service) {
	return func(s *model.Service) { s.Requested = append(s.Requested, netip.MustParseAddr(a)) }
}

func class(c string) func(*model.Service) { return func(s *model.Service) { s.Class = c } }

func share(key string, port model.Port) func(*model.Service) {
	return func(s *model.Service) {
		s.SharingKey = key
		s.Ports[0].Port = port
	}
}

func dual(policy string) func(*model.Service) {
	return func(s *model.Service) { s.Families, s.DualStack = []model.Family{model.IPv4, model.IPv6}, policy }
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		what     string
		ranges   string
		services []*model.Service
		want     string
		remarks  int
	}{
		{"network and broadcast are left out", "192.0.2.0/30",
			[]*model.Service{service("a"), service("b"), service("c")}, "a 192.0.2.1, b 192.0.2.2", 1},
		{"a range of one", "192.0.2.7/32", []*model.Service{service("a")}, "a 192.0.2.7", 0},
		{"a range of two", "192.0.2.6/31", []*model.Service{service("a"), service("b")}, "a 192.0.2.6, b 192.0.2.7", 0},
		{"the first of a range of two is kept", "192.0.2.6/31", []*model.Service{service("a"), service("b", status("192.0.2.6"))}, "a 192.0.2.7, b 192.0.2.6", 0},
		{"what kube-router v2 gave stands, be it the network's address or its broadcast address", "192.0.2.0/29",
			[]*model.Service{service("a", status("192.0.2.0")), service("b", status("192.0.2.7"))}, "a 192.0.2.0, b 192.0.2.7", 0},
		{"an external address of a Service is taken", "192.0.2.0/29",
			[]*model.Service{service("a"), service("b", external("192.0.2.1"))}, "a 192.0.2.2, b 192.0.2.3", 0},
		{"what stands is reserved first", "192.0.2.0/29",
			[]*model.Service{service("a"), service("z", status("192.0.2.1"))}, "a 192.0.2.2, z 192.0.2.1", 0},
		{"what stands out of range is given anew", "192.0.2.0/29",
			[]*model.Service{service("a", status("198.51.100.1"))}, "a 192.0.2.1", 1},
		{"a conflict in the status is fixed", "192.0.2.0/29",
			[]*model.Service{service("a", status("192.0.2.1")), service("b", status("192.0.2.1"))}, "a 192.0.2.1, b 192.0.2.2", 0},
		{"another class keeps what it has", "192.0.2.0/29",
			[]*model.Service{service("a"), service("b", class("other"), status("192.0.2.1"))}, "a 192.0.2.2", 0},
		{"our class and the default", "192.0.2.0/29",
			[]*model.Service{service("a", class("kube-router")), service("b", class("default"))}, "a 192.0.2.1, b 192.0.2.2", 0},
		{"a request", "192.0.2.0/29", []*model.Service{service("a"), service("b", request("192.0.2.1"))}, "a 192.0.2.2, b 192.0.2.1", 0},
		{"a request moves what stands", "192.0.2.0/29",
			[]*model.Service{service("a", status("192.0.2.1"), request("192.0.2.5"))}, "a 192.0.2.5", 0},
		{"a request out of range", "192.0.2.0/29", []*model.Service{service("a", request("203.0.113.1"))}, "", 1},
		{"a request for another's", "192.0.2.0/29",
			[]*model.Service{service("a", status("192.0.2.1")), service("b", request("192.0.2.1"))}, "a 192.0.2.1", 1},
		{"shared on different ports", "192.0.2.0/29",
			[]*model.Service{service("a", share("k", 80)), service("b", share("k", 443)), service("c", share("k", 80))},
			"a 192.0.2.1, b 192.0.2.1, c 192.0.2.2", 0},
		{"both families", "192.0.2.0/29 2001:db8::/126", []*model.Service{service("a", dual("RequireDualStack"))}, "a 192.0.2.1 2001:db8::1", 0},
		{"both required, one there", "192.0.2.0/29", []*model.Service{service("a", dual("RequireDualStack"))}, "", 2},
		{"both preferred, one there", "192.0.2.0/29", []*model.Service{service("a", dual("PreferDualStack"))}, "a 192.0.2.1", 1},
	} {
		m := world(strings.Fields(c.ranges)...)
		for _, s := range c.services {
			m.Put(s)
		}
		list, _, remarks := Plan(m, nil)
		var got []string
		for _, b := range list {
			got = append(got, strings.TrimPrefix(b.String(), "default/"))
		}
		if text := strings.Join(got, ", "); text != c.want || len(remarks) != c.remarks {
			t.Errorf("%s: %q, want %q; remarks %v", c.what, text, c.want, remarks)
		}
	}
}

// TestNodesKeepTheirAddresses: a range often is the nodes' own network, and an address that is served as a
// Service's on every node would cut that node off.
func TestNodesKeepTheirAddresses(t *testing.T) {
	m := world("192.0.2.0/29")
	m.Put(&model.Node{Name: "n1", InternalIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	m.Put(&model.Node{Name: "n2", ExternalIPs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}})
	m.Put(service("a"))
	m.Put(service("b", request("192.0.2.2")))
	list, _, remarks := Plan(m, nil)
	if fmt.Sprint(list) != "[default/a 192.0.2.3]" || len(remarks) != 1 {
		t.Errorf("%v %v", list, remarks)
	}
}

// TestAPlanHoldsUntilTheStatusSaysIt adds a Service of a lesser name before the first one's status is written.
func TestAPlanHoldsUntilTheStatusSaysIt(t *testing.T) {
	m := world("192.0.2.0/29")
	m.Put(service("m"))
	planned := map[model.Name][]netip.Addr{{Namespace: "default", Name: "m"}: {netip.MustParseAddr("192.0.2.1")}}
	m.Put(service("a"))
	list, _, _ := Plan(m, planned)
	if fmt.Sprint(list) != "[default/a 192.0.2.2 default/m 192.0.2.1]" {
		t.Errorf("%v", list)
	}
}

// TestNeverTwice gives and takes addresses at random; no address is ever held by two.
func TestNeverTwice(t *testing.T) {
	m := world("192.0.2.0/28")
	for i := range 400 {
		name := fmt.Sprint("s", i*7919%23)
		if i%3 == 0 {
			m.Delete(service(name).Ref())
		} else {
			m.Put(service(name))
		}
		list, _, _ := Plan(m, nil)
		var held []netip.Addr
		for _, b := range list {
			held = append(held, b.V4)
			m.Put(service(b.Name, status(b.V4.String())))
		}
		slices.SortFunc(held, netip.Addr.Compare)
		if len(slices.Compact(slices.Clone(held))) != len(held) {
			t.Fatalf("step %d: %v", i, held)
		}
	}
}

// BenchmarkExhausted plans 5,000 Services on a range of 4,094 addresses: those that get none must not each
// look through all of it.
func BenchmarkExhausted(b *testing.B) {
	m := model.New(model.Settings{Balancer: true, IPv4: true, Allocator: model.AllocatorSettings{
		Ranges: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/20")}, DefaultClass: true,
	}})
	for i := range 5000 {
		m.Put(&model.Service{
			Name: model.Name{Namespace: "a", Name: fmt.Sprint("s", i)}, Type: model.LoadBalancer, Families: []model.Family{model.IPv4},
		})
	}
	for b.Loop() {
		if list, _, remarks := Plan(m, nil); len(list) != 4094 || len(remarks) != 906 {
			b.Fatal(len(list), len(remarks))
		}
	}
}
