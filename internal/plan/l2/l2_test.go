package l2

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

const nodes = 5

// world is a node's view of a cluster of five nodes in one subnet, with Services at 192.0.2.101 and so on.
func world(self int, services int, change ...func(m *model.Model)) *model.Model {
	m := model.New(model.Settings{Node: fmt.Sprint("n", self), Proxy: true, IPv4: true, IPv6: true, Allocator: model.AllocatorSettings{
		Ranges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}}})
	for i := range nodes {
		m.Put(node(i))
	}
	m.Put(&model.Link{Name: "eth0", Kind: "device", Up: true, Addrs: []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + self)}), 24), netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", 10+self))}})
	m.Put(&model.Link{Name: "eth1", Kind: "device", Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/24")}})
	m.Put(&model.L2Advertisement{Name: "all"})
	for i := range services {
		m.Put(service(fmt.Sprint("s", i), addr4(i), netip.MustParseAddr(fmt.Sprintf("2001:db8::a%x", i))))
	}
	for _, c := range change {
		c(m)
	}
	return m
}

func node(i int) *model.Node {
	return &model.Node{Name: fmt.Sprint("n", i), InternalIPs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", 10+i))},
		Labels: map[string]string{"node": fmt.Sprint("n", i)}}
}

func addr4(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(101 + i)}) }

func service(name string, addrs ...netip.Addr) *model.Service {
	s := &model.Service{Name: model.Name{Namespace: "default", Name: name}, Type: model.LoadBalancer, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.9")},
		Families: []model.Family{model.IPv4, model.IPv6}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}}}
	for _, a := range addrs {
		s.Ingress = append(s.Ingress, model.Ingress{Addr: a})
	}
	return s
}

// owners are the nodes that answer for each address, as each of them plans for itself.
func owners(services int, change ...func(m *model.Model)) map[netip.Addr][]string {
	all := map[netip.Addr][]string{}
	for i := range nodes {
		answers, _, _ := Plan(world(i, services, change...))
		for _, a := range answers {
			all[a.Addr] = append(all[a.Addr], fmt.Sprint("n", i))
		}
	}
	return all
}

// TestOneNodeAnAddress: each address of each family has one node, they are spread, and a node that goes by whatever way moves its own alone.
func TestOneNodeAnAddress(t *testing.T) {
	before := owners(40)
	count := map[string]int{}
	for a, list := range before {
		if len(list) != 1 {
			t.Errorf("%s: %v", a, list)
		}
		count[list[0]]++
	}
	if len(before) != 80 || len(count) != nodes {
		t.Fatalf("%d addresses at %v", len(before), count)
	}
	gone := "n3"
	change := func(f func(*model.Node)) func(*model.Model) {
		return func(m *model.Model) {
			n := node(3)
			f(n)
			m.Put(n)
		}
	}
	for what, c := range map[string]func(*model.Model){
		"silent":   func(m *model.Model) { m.Put(&model.Silence{Node: gone, Link: "eth0"}) },
		"excluded": change(func(n *model.Node) { n.ExcludeFromLB = true }),
		"leaving":  change(func(n *model.Node) { n.Leaving = true }),
		"another":  change(func(n *model.Node) { n.Labels = nil; n.InternalIPs = []netip.Addr{netip.MustParseAddr("203.0.113.7")} }),
		"unselected": func(m *model.Model) {
			m.Put(&model.L2Advertisement{Name: "all", Nodes: model.Selector{Requirements: []model.Requirement{{Key: "node", Op: model.NotIn, Values: []string{gone}}}}})
		},
	} {
		for a, list := range owners(40, c) {
			list = without(list, gone, what == "silent" || what == "another") // it doesn't know that the others don't hear it
			if len(list) != 1 || list[0] == gone || before[a][0] != gone && list[0] != before[a][0] {
				t.Errorf("%s: %s was %v and is %v", what, a, before[a], list)
			}
		}
	}
}

func without(list []string, name string, drop bool) []string {
	var rest []string
	for _, n := range list {
		if n != name || !drop {
			rest = append(rest, n)
		}
	}
	return rest
}

// TestSuccessorsWatch: two nodes watch the one that answers, on the link, and take over one after the other.
func TestSuccessorsWatch(t *testing.T) {
	owner := owners(1)[addr4(0)][0]
	watching, second := 0, ""
	for i := range nodes {
		_, watched, _ := Plan(world(i, 1))
		for _, w := range watched {
			if w.Node == owner && w.Link == "eth0" && w.Addr.Is4() {
				watching++
			}
		}
	}
	if watching != successors {
		t.Errorf("%d nodes watch %s", watching, owner)
	}
	silent := func(name string) func(*model.Model) {
		return func(m *model.Model) {
			if m.Settings.Node != name {
				m.Put(&model.Silence{Node: name, Link: "eth0"})
			}
		}
	}
	for _, n := range owners(1, silent(owner))[addr4(0)] {
		if n != owner {
			second = n
		}
	}
	third := without(without(owners(1, silent(owner), silent(second))[addr4(0)], owner, true), second, true)
	if second == "" || len(third) != 1 {
		t.Errorf("after %s comes %q, then %v", owner, second, third)
	}
}

func TestWho(t *testing.T) {
	local := func(nodes ...string) func(*model.Model) {
		return func(m *model.Model) {
			s := service("s0", addr4(0))
			s.External = model.Local
			m.Put(s)
			slice := &model.Slice{Name: model.Name{Namespace: "default", Name: "s0-x"}, Service: s.Name, Family: model.IPv4}
			for i, n := range nodes {
				slice.Endpoints = append(slice.Endpoints, model.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 0, byte(i + 1)})}, Ready: true, Node: n})
			}
			m.Put(slice)
		}
	}
	advert := func(ad *model.L2Advertisement) func(*model.Model) {
		return func(m *model.Model) { ad.Name = "all"; m.Put(ad) }
	}
	near := func(m *model.Model) {
		m.Put(&model.Pool{Name: "near", Balancer: true, Ranges: []model.AddrRange{model.RangeOf(netip.MustParsePrefix("192.0.2.96/27"))},
			Nodes: model.Selector{Requirements: []model.Requirement{{Key: "node", Op: model.In, Values: []string{"n2"}}}}})
	}
	for what, c := range map[string]struct {
		change []func(*model.Model)
		want   string
	}{
		"the node with a ready endpoint":    {[]func(*model.Model){local("n4")}, "[n4]"},
		"none without an endpoint":          {[]func(*model.Model){local()}, "[]"},
		"those that the pool selects":       {[]func(*model.Model){near}, "[n2]"},
		"addresses of the pool alone":       {[]func(*model.Model){advert(&model.L2Advertisement{Pools: []string{"other"}})}, "[]"},
		"Services that are selected":        {[]func(*model.Model){advert(&model.L2Advertisement{Services: model.Selector{Requirements: []model.Requirement{{Key: "a", Op: model.Exists}}}})}, "[]"},
		"not on a link of another subnet":   {[]func(*model.Model){func(m *model.Model) { m.Delete(model.Ref{Kind: model.KindLink, Name: model.Name{Name: "eth0"}}) }}, "[]"},
		"not on a link that is down":        {[]func(*model.Model){func(m *model.Model) { l := *m.Links["eth0"]; l.Up = false; m.Put(&l) }}, "[]"},
		"without any advertisement nobody":  {[]func(*model.Model){func(m *model.Model) { m.Delete((&model.L2Advertisement{Name: "all"}).Ref()) }}, "[]"},
		"on links by name, whatever subnet": {[]func(*model.Model){near, advert(&model.L2Advertisement{Links: []string{"eth[1-9]"}})}, "[n2]"},
	} {
		if got := fmt.Sprint(owners(1, c.change...)[addr4(0)]); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}
