package holder

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(list string) []netip.Addr {
	var out []netip.Addr
	for _, s := range strings.Fields(list) {
		out = append(out, addr(s))
	}
	return out
}

func prefixes(list string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range strings.Fields(list) {
		out = append(out, prefix(s))
	}
	return out
}

// world is a cluster of the nodes self and other without Services.
func world() *model.Model {
	set := model.Settings{Node: "self", Proxy: true, IPv4: true, IPv6: true}
	set.Services.StrictExternal = true
	set.Services.ClusterRanges = prefixes("10.96.0.0/16 fd00:96::/112")
	set.Services.ExternalRanges = prefixes("198.51.100.0/24 2001:db8:1::/64 192.0.2.0/24 10.244.0.0/16")
	set.Allocator.Ranges = prefixes("203.0.113.0/24 198.51.100.0/28")
	set.Routes.ClusterCIDRs = prefixes("10.244.0.0/16")
	m := model.New(set)
	m.Put(&model.Node{Name: "self", InternalIPs: addrs("192.0.2.1 2001:db8::1"), PodCIDRs: prefixes("10.244.1.0/24 fd00:244:1::/64")})
	m.Put(&model.Node{Name: "other", InternalIPs: addrs("192.0.2.2 2001:db8::2"), PodCIDRs: prefixes("10.244.2.0/24")})
	m.Put(&model.Link{Name: "eth0", Up: true, Addrs: prefixes("192.0.2.1/24 2001:db8::1/64")})
	return m
}

// service makes a Service from one line: the name, whose first letter's place in "abc…" is its age in hours before now, and
// what it names: "cluster=", "external=", "balancer=", "node=" its node port, "port=", "udp", "local", "key=value".
func service(line string) *model.Service {
	words := strings.Fields(line)
	s := &model.Service{
		Name: model.Name{Namespace: "default", Name: words[0]}, Type: model.LoadBalancer, Families: []model.Family{model.IPv4, model.IPv6},
		Created: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC), Internal: model.Cluster, External: model.Cluster,
		Ports: []model.ServicePort{{Port: 80, Protocol: model.TCP}},
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "hour":
			var h int
			_, _ = fmt.Sscan(value, &h)
			s.Created = time.Date(2026, 1, 2, h, 0, 0, 0, time.UTC)
		case "cluster":
			s.ClusterIPs = addrs(value)
		case "external":
			s.ExternalIPs = append(s.ExternalIPs, addr(value))
		case "balancer":
			s.Ingress = append(s.Ingress, model.Ingress{Addr: addr(value)})
		case "proxied":
			s.Ingress = append(s.Ingress, model.Ingress{Addr: addr(value), Proxy: true})
		case "port":
			_, _ = fmt.Sscan(value, &s.Ports[0].Port)
		case "node":
			_, _ = fmt.Sscan(value, &s.Ports[0].NodePort)
		case "udp":
			s.Ports[0].Protocol = model.UDP
		case "local":
			s.External = model.Local
		case "internal":
			s.Internal = model.Local
		case "another":
			s.AnotherProxy = true
		case "headless":
			s.Headless = true
		case "v4":
			s.Families = []model.Family{model.IPv4}
		}
	}
	return s
}

// TestOf is the table of who has a frontend: each line is a case of somebody who takes what another one has.
func TestOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		services []string
		at       string // address:port/protocol
		want     string // who wants it, the holder first
	}{
		{"nobody", nil, "198.51.100.7:80/tcp", ""},
		{"the only one", []string{"a external=198.51.100.7"}, "198.51.100.7:80/tcp", "a"},
		{"the older of two, of the greater name", []string{"a external=198.51.100.7 hour=9", "b external=198.51.100.7 hour=8"}, "198.51.100.7:80/tcp", "b a"},
		{"the same in IPv6", []string{"a external=2001:db8:1::7 hour=9", "b external=2001:db8:1::7 hour=8"}, "[2001:db8:1::7]:80/tcp", "b a"},
		{"the same for UDP", []string{"a udp external=198.51.100.7 hour=9", "b udp external=198.51.100.7 hour=8"}, "198.51.100.7:80/udp", "b a"},
		{"of one second the lesser name", []string{"b external=198.51.100.7", "a external=198.51.100.7"}, "198.51.100.7:80/tcp", "a b"},
		{"an older external against a newer balancer address", []string{"a balancer=198.51.100.7 hour=9", "b external=198.51.100.7 hour=8"}, "198.51.100.7:80/tcp", "b a"},
		{"an older balancer against a newer external address", []string{"a external=198.51.100.7 hour=9", "b balancer=198.51.100.7 hour=8"}, "198.51.100.7:80/tcp", "b a"},
		{"other ports are free", []string{"a port=81 external=198.51.100.7 hour=9", "b external=198.51.100.7 hour=8"}, "198.51.100.7:81/tcp", "a"},
		{"other protocols are free", []string{"a udp external=198.51.100.7 hour=9", "b external=198.51.100.7 hour=8"}, "198.51.100.7:80/udp", "a"},
		{"a cluster address is its Service's, younger or not", []string{"a external=10.96.0.9 hour=7", "b cluster=10.96.0.9 hour=8"}, "10.96.0.9:80/tcp", "b"},
		{"and so are its other ports", []string{"a port=81 external=198.51.100.9 hour=7", "b cluster=198.51.100.9 hour=8"}, "198.51.100.9:81/tcp", ""},
		{"and those of another proxy's Service", []string{"a external=198.51.100.9 hour=7", "b another cluster=198.51.100.9 hour=8"}, "198.51.100.9:80/tcp", ""},
		{"another proxy's external addresses are not ours to keep", []string{"a external=198.51.100.7 hour=9", "b another external=198.51.100.7 hour=8"}, "198.51.100.7:80/tcp", "a"},
		{"a headless Service has none", []string{"a headless external=198.51.100.7"}, "198.51.100.7:80/tcp", ""},
		{"an address that isn't permitted is nobody's", []string{"a external=198.18.0.1"}, "198.18.0.1:80/tcp", ""},
		{"older without permission is nothing", []string{"a external=203.0.113.7 hour=7", "b balancer=203.0.113.7 hour=8"}, "203.0.113.7:80/tcp", "b"},
		{"a pod's address is the pod's", []string{"a external=10.244.2.9"}, "10.244.2.9:80/tcp", ""},
		{"a balancer that forwards by itself", []string{"a proxied=203.0.113.7"}, "203.0.113.7:80/tcp", ""},
		{"a node port", []string{"a node=30080"}, "192.0.2.1:30080/tcp", "a"},
		{"a node port in IPv6", []string{"a node=30080"}, "[2001:db8::1]:30080/tcp", "a"},
		{"not of a family that the Service doesn't have", []string{"a v4 node=30080"}, "[2001:db8::1]:30080/tcp", ""},
		{"not at another node's address", []string{"a node=30080"}, "192.0.2.2:30080/tcp", ""},
		{"a node port against an older external address there", []string{"a node=30080 hour=9", "b port=30080 external=192.0.2.1 hour=8"}, "192.0.2.1:30080/tcp", "a b"},
		{"the other way round where it is no address of ours", []string{"a node=30080 hour=9", "b port=30080 external=192.0.2.2 hour=8"}, "192.0.2.2:30080/tcp", "b"},
		{"two node ports, which only a file can name", []string{"a node=30080 hour=9", "b node=30080 hour=8"}, "192.0.2.1:30080/tcp", "b a"},
	} {
		m := world()
		for _, line := range c.services {
			m.Put(service(line))
		}
		var have []string
		for _, claim := range Of(m, frontend(t, c.at)) {
			have = append(have, claim.Service.Name.Name)
		}
		if strings.Join(have, " ") != c.want {
			t.Errorf("%s: %v has %s, want %q", c.name, have, c.at, c.want)
		}
		for i, name := range have {
			first, lost := Lost(m, m.Services[model.Name{Namespace: "default", Name: name}], frontend(t, c.at))
			if lost != (i > 0) || lost && first.Service.Name.Name != have[0] {
				t.Errorf("%s: %s lost: %v to %v, though the order is %v", c.name, name, lost, first, have)
			}
		}
	}
}

func frontend(t *testing.T, text string) Frontend {
	t.Helper()
	at, name, _ := strings.Cut(text, "/")
	p := netip.MustParseAddrPort(at)
	f := Frontend{p.Addr(), model.Port(p.Port()), model.TCP}
	if name == "udp" {
		f.Protocol = model.UDP
	}
	if f.String() != text {
		t.Fatalf("%s prints %s", text, f)
	}
	return f
}

// TestAddresses is the table of which addresses a Service may have, and why not.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(*model.Settings)
		service string
		want    string
		refused string
	}{
		{"all kinds", nil, "a cluster=10.96.0.5 balancer=203.0.113.7 external=198.51.100.7", "10.96.0.5 203.0.113.7 198.51.100.7", ""},
		{"of no range", nil, "a external=198.18.0.1", "", "spec.externalIPs[0]: 198.18.0.1 ignored: not in --service-external-ip-range"},
		{"of the other's range", nil, "a balancer=198.51.100.77", "", "status.loadBalancer.ingress[0].ip: 198.51.100.77 ignored: not in --loadbalancer-ip-range"},
		{"of the cluster range", nil, "a external=10.96.0.77", "", "spec.externalIPs[0]: 10.96.0.77 ignored: it lies in the range of cluster addresses"},
		{"a cluster address outside of the range", nil, "a external=198.51.100.53", "", "spec.externalIPs[0]: 198.51.100.53 ignored: it is the cluster address of Service default/dns"},
		{"a pod's", nil, "a external=10.244.2.9", "", "spec.externalIPs[0]: 10.244.2.9 ignored: it lies in a node's range of pod addresses"},
		{"unchecked, any but cluster addresses and pods'", func(s *model.Settings) { s.Services.StrictExternal = false },
			"a external=198.18.0.1 external=198.51.100.53 external=10.244.2.9", "198.18.0.1",
			"spec.externalIPs[1]: 198.51.100.53 ignored: it is the cluster address of Service default/dns\n" +
				"spec.externalIPs[2]: 10.244.2.9 ignored: it lies in a node's range of pod addresses"},
		{"without endpoints of the family", nil, "a v4 external=2001:db8:1::7", "", "spec.externalIPs[0]: 2001:db8:1::7 ignored: the Service has no endpoints of IPv6"},
		{"of a family that is off", func(s *model.Settings) { s.IPv6 = false }, "a external=2001:db8:1::7", "", ""},
	} {
		m := world()
		if c.set != nil {
			c.set(&m.Settings)
		}
		m.Put(service("dns cluster=198.51.100.53"))
		s := service(c.service)
		m.Put(s)
		list, refused := Addresses(m, s)
		var have, why []string
		for _, a := range list {
			have = append(have, a.Addr.String())
		}
		for _, r := range refused {
			why = append(why, r.Field+": "+r.Remark(s).Message)
		}
		if got := strings.Join(have, " "); got != c.want {
			t.Errorf("%s: may have %q, want %q", c.name, got, c.want)
		}
		if got := strings.Join(why, "\n"); got != c.refused {
			t.Errorf("%s: refused %q, want %q", c.name, got, c.refused)
		}
	}
}

// TestServed is the table of which nodes announce an address that Services share.
func TestServed(t *testing.T) {
	const at = "198.51.100.7"
	for _, c := range []struct {
		name     string
		services []string            // in the order of their age
		ready    map[string][]string // the nodes with a ready endpoint of each
		want     string              // the nodes that announce it
		apart    string
	}{
		{"one", []string{"a"}, nil, "other self", ""},
		{"one, Local", []string{"a local"}, map[string][]string{"a": {"other"}}, "other", ""},
		{"Local without endpoints", []string{"a local"}, nil, "", ""},
		{"a Local and a Cluster Service", []string{"a port=80", "b port=81 local"}, map[string][]string{"a": {"self"}, "b": {"other"}}, "other", ""},
		{"the other way round", []string{"a port=80 local", "b port=81"}, map[string][]string{"a": {"self"}, "b": {"other"}}, "self", ""},
		{"two Local with a node in common", []string{"a port=80 local", "b port=81 local"}, map[string][]string{"a": {"self", "other"}, "b": {"other"}}, "other", ""},
		{"two Local without", []string{"a port=80 local", "b port=81 local"}, map[string][]string{"a": {"self"}, "b": {"other"}}, "self", "b"},
		{"Local without endpoints beside another", []string{"a port=80 local", "b port=81"}, nil, "other self", ""},
		{"whose port is another's doesn't count", []string{"a port=80", "b port=80 local"}, map[string][]string{"b": {"other"}}, "other self", ""},
		{"a drained node doesn't count", []string{"a port=80 local", "b port=81 local"}, map[string][]string{"a": {"self", "drained"}, "b": {"drained", "self"}}, "self", ""},
	} {
		var have []string
		apart := ""
		for _, node := range []string{"other", "self"} {
			m := world()
			m.Settings.Node = node
			m.Put(&model.Node{Name: "drained", ExcludeFromLB: true})
			for i, line := range c.services {
				s := service(fmt.Sprintf("%s external=%s hour=%d", line, at, i))
				m.Put(s)
				slice := &model.Slice{Name: s.Name, Service: s.Name, Family: model.IPv4}
				for _, n := range c.ready[s.Name.Name] {
					slice.Endpoints = append(slice.Endpoints, model.Endpoint{Addrs: addrs("10.244.2.5"), Ready: true, Node: n})
				}
				m.Put(slice)
			}
			s := Served(m, addr(at))
			if s.Here {
				have = append(have, node)
			}
			apart = ""
			for _, other := range s.Apart {
				apart += other.Name.Name
			}
		}
		if got := strings.Join(have, " "); got != c.want || apart != c.apart {
			t.Errorf("%s: advertised by %q, apart %q; want %q, %q", c.name, got, apart, c.want, c.apart)
		}
	}
}

// TestAround is the table of whose a range is.
func TestAround(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"10.244.1.0/24", "10.244.1.0/24, the pod range of node self; 10.244.0.0/16, the space of pod ranges (--cluster-cidr); 10.244.0.0/16, the range of external addresses (--service-external-ip-range)"},
		{"10.244.2.128/25", "10.244.2.0/24, the pod range of node other; 10.244.0.0/16, the space of pod ranges (--cluster-cidr); 10.244.0.0/16, the range of external addresses (--service-external-ip-range)"},
		{"fd00:244:1::7/128", "fd00:244:1::/64, the pod range of node self"},
		{"10.96.3.0/24", "10.96.0.0/16, the range of cluster addresses (--service-cluster-ip-range)"},
		{"198.51.100.3/32", "198.51.100.0/28, the range of balancer addresses (--loadbalancer-ip-range); 198.51.100.0/24, the range of external addresses (--service-external-ip-range)"},
		{"2001:db8::2/128", "2001:db8::2/128, the node address of node other"},
		{"10.0.0.0/8", ""},
		{"0.0.0.0/0", ""},
		{"172.16.0.0/12", ""},
	} {
		var have []string
		for _, r := range Around(world(), prefix(c.prefix)) {
			have = append(have, r.String())
		}
		if got := strings.Join(have, "; "); got != c.want {
			t.Errorf("around %s are\n%s, want\n%s", c.prefix, got, c.want)
		}
	}
}

// TestEndpoint is the table of what an EndpointSlice may name.
func TestEndpoint(t *testing.T) {
	m := world()
	m.Put(service("dns cluster=10.96.0.53"))
	m.Put(service("web external=198.51.100.7 balancer=203.0.113.7 external=192.0.2.2 external=198.18.0.1"))
	m.Put(service("six cluster=fd00:96::53 external=2001:db8:1::7"))
	for _, c := range []struct{ addr, want string }{
		{"10.244.2.9", ""},
		{"fd00:244:1::9", ""},
		{"192.0.2.2", ""}, // a node, be it an external address too: pods on the host's network are there
		{"192.0.2.77", ""},
		{"8.8.8.8", ""},
		{"10.96.0.54", ""}, // nobody has it
		{"198.18.0.1", ""}, // a Service names it and may not have it
		{"0.0.0.0", "it is no destination (RFC 6890, 0.0.0.0/8)"},
		{"0.1.2.3", "it is no destination (RFC 6890, 0.0.0.0/8)"},
		{"::", "it is no destination (RFC 6890, 0.0.0.0/8)"},
		{"127.0.0.1", "it is a loopback address"},
		{"::1", "it is a loopback address"},
		{"169.254.169.254", "it is a link-local address"},
		{"fe80::1", "it is a link-local address"},
		{"224.0.0.1", "it is a multicast address"},
		{"ff02::1", "it is a multicast address"},
		{"255.255.255.255", "it is the broadcast address"},
		{"192.0.2.255", "it is the broadcast or network address of 192.0.2.0/24"},
		{"192.0.2.0", "it is the broadcast or network address of 192.0.2.0/24"},
		{"10.244.1.255", "it is the broadcast or network address of 10.244.1.0/24"},
		{"10.96.0.53", "it is an address of Service default/dns"},
		{"198.51.100.7", "it is an address of Service default/web"},
		{"203.0.113.7", "it is an address of Service default/web"},
		{"fd00:96::53", "it is an address of Service default/six"},
		{"2001:db8:1::7", "it is an address of Service default/six"},
	} {
		if got := Endpoint(m, addr(c.addr)); got != c.want {
			t.Errorf("%s: %q, want %q", c.addr, got, c.want)
		}
	}
}

// TestEnters is the table of the pods that direct server return may set up.
func TestEnters(t *testing.T) {
	s := service("web external=198.51.100.7")
	s.Selector = map[string]string{"app": "web"}
	pod := func(ns, name, at, app string) *model.Pod {
		return &model.Pod{Name: model.Name{Namespace: ns, Name: name}, Addrs: addrs(at), Labels: map[string]string{"app": app}}
	}
	m := world()
	for _, p := range []*model.Pod{
		pod("default", "own", "10.244.1.5", "web"), pod("default", "beside", "10.244.1.6", "db"),
		pod("kube-system", "dns", "10.244.1.7", "web"),
	} {
		m.Put(p)
	}
	gone := pod("kube-system", "gone", "10.244.1.5", "web")
	gone.Finished = true
	m.Put(gone)
	for _, c := range []struct{ ns, name, at, want string }{
		{"default", "own", "10.244.1.5", ""},
		{"default", "unknown", "10.244.1.99", ""}, // the records of the node tell whose address it is
		{"default", "beside", "10.244.1.6", "pod default/beside is not selected by the Service"},
		{"kube-system", "dns", "10.244.1.7", "pod kube-system/dns is of another namespace"},
		{"default", "own", "10.244.1.7", "10.244.1.7 is pod kube-system/dns"},
		{"default", "unknown", "10.244.1.7", "10.244.1.7 is pod kube-system/dns"},
		{"default", "own", "10.244.1.98", "pod default/own has not the address 10.244.1.98"},
	} {
		if got := Enters(m, s, model.Name{Namespace: c.ns, Name: c.name}, addr(c.at)); got != c.want {
			t.Errorf("%s/%s at %s: %q, want %q", c.ns, c.name, c.at, got, c.want)
		}
	}
}
