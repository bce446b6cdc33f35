package service

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

func settings() model.Settings {
	s := model.Settings{Node: "self", Proxy: true, IPv4: true, IPv6: true}
	s.Services.Engine = model.EngineIPVS
	s.Services.StrictExternal = true
	s.Services.ClusterRanges = []netip.Prefix{prefix("10.96.0.0/12"), prefix("fd00:96::/112")}
	s.Services.ExternalRanges = []netip.Prefix{prefix("198.51.100.0/24")}
	s.Allocator.Ranges = []netip.Prefix{prefix("203.0.113.0/24")}
	return s
}

var web = model.Name{Namespace: "default", Name: "web"}

// world is a cluster of the node "self" and the node "other" with the Service default/web.
func world(set model.Settings, change func(*model.Service), endpoints ...model.Endpoint) *model.Model {
	m := model.New(set)
	m.Put(&model.Node{Name: "self", Zone: "a", InternalIPs: addrs("192.0.2.1", "2001:db8::1")})
	m.Put(&model.Node{Name: "other", Zone: "b", InternalIPs: addrs("192.0.2.2", "2001:db8::2")})
	m.Put(&model.Link{Name: "eth0", Addrs: []netip.Prefix{prefix("192.0.2.1/24"), prefix("fe80::1/64"), prefix("2001:db8::1/64")}})
	m.Put(&model.Link{Name: "eth1", Addrs: []netip.Prefix{prefix("172.16.0.1/24")}})
	m.Put(&model.Link{Name: "lo", Addrs: []netip.Prefix{prefix("127.0.0.1/8")}})
	m.Put(&model.Link{Name: "docker0", Addrs: []netip.Prefix{prefix("172.17.0.1/16")}})
	s := &model.Service{
		Name: web, Type: model.ClusterIP, ClusterIPs: addrs("10.96.0.10"), Internal: model.Cluster, External: model.Cluster,
		Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}},
	}
	if change != nil {
		change(s)
	}
	m.Put(s)
	m.Put(&model.Slice{
		Name: model.Name{Namespace: "default", Name: "web-1"}, Service: web, Family: model.IPv4, Endpoints: endpoints,
		Ports: []model.SlicePort{{Name: "http", Protocol: model.TCP, Port: 8080}},
	})
	return m
}

// at is a ready endpoint on a node.
func at(node, a string) model.Endpoint {
	return model.Endpoint{Addrs: addrs(a), Ready: true, Serving: true, Node: node}
}

func dying(e model.Endpoint) model.Endpoint {
	e.Ready, e.Terminating = false, true
	return e
}

func zones(e model.Endpoint, z ...string) model.Endpoint {
	_, nodes := e.For()
	e.Hints = &model.Hints{ForZones: z, ForNodes: nodes}
	return e
}
func nodes(e model.Endpoint, n ...string) model.Endpoint {
	zones, _ := e.For()
	e.Hints = &model.Hints{ForZones: zones, ForNodes: n}
	return e
}

func lines(list []*intent.Service) string {
	var out []string
	for _, s := range list {
		out = append(out, s.String())
	}
	return strings.Join(out, "\n")
}

func text(list []model.Remark) string {
	var out []string
	for _, r := range list {
		out = append(out, r.String())
	}
	return strings.Join(out, "\n")
}

func TestPlan(t *testing.T) {
	here, there := at("self", "10.244.1.5"), at("other", "10.244.2.5")
	all := func(s *model.Service) {
		s.Type = model.LoadBalancer
		s.Ports[0].NodePort = 30080
		s.ExternalIPs = addrs("198.51.100.7")
		s.Ingress = []model.Ingress{{Addr: addr("203.0.113.9")}}
		s.Sources = []netip.Prefix{prefix("198.18.0.0/15")}
	}
	for _, c := range []struct {
		name      string
		set       func(*model.Settings)
		change    func(*model.Service)
		endpoints []model.Endpoint
		want      string
		remarks   string
	}{
		{"cluster address", nil, nil, []model.Endpoint{there, here},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080 10.244.2.5:8080]", ""},
		{"nobody answers", nil, nil, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"every front", nil, all, []model.Endpoint{here}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080]
192.0.2.1:30080/tcp node default/web:http -> [10.244.1.5:8080]
198.51.100.7:80/tcp external default/web:http -> [10.244.1.5:8080]
203.0.113.9:80/tcp balancer default/web:http from=[198.18.0.0/15] -> [10.244.1.5:8080]`, ""},
		{"internal Local", nil, func(s *model.Service) { s.Internal = model.Local }, []model.Endpoint{here, there},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.5:8080]", ""},
		{"internal Local without any here", nil, func(s *model.Service) { s.Internal = model.Local }, []model.Endpoint{there},
			"10.96.0.10:80/tcp cluster default/web:http silent -> [] keep [10.244.2.5:8080]", ""},
		{"external Local", nil, func(s *model.Service) { all(s); s.External = model.Local }, []model.Endpoint{here, there}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080 10.244.2.5:8080]
192.0.2.1:30080/tcp node default/web:http keep-source -> [10.244.1.5:8080 10.244.2.5:8080] outside -> [10.244.1.5:8080]
198.51.100.7:80/tcp external default/web:http keep-source -> [10.244.1.5:8080 10.244.2.5:8080] outside -> [10.244.1.5:8080]
203.0.113.9:80/tcp balancer default/web:http keep-source from=[198.18.0.0/15] -> [10.244.1.5:8080 10.244.2.5:8080] outside -> [10.244.1.5:8080]`, ""},
		{"external Local without any here", nil, func(s *model.Service) {
			s.External, s.Ports[0].NodePort = model.Local, 30080
		}, []model.Endpoint{there}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.2.5:8080]
192.0.2.1:30080/tcp node default/web:http keep-source -> [10.244.2.5:8080] outside -> []`, ""},
		{"both Local", nil, func(s *model.Service) {
			s.Internal, s.External, s.Ports[0].NodePort = model.Local, model.Local, 30080
		}, []model.Endpoint{here, there}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.5:8080]
192.0.2.1:30080/tcp node default/web:http keep-source -> [10.244.1.5:8080 10.244.2.5:8080] outside -> [10.244.1.5:8080]`, ""},
		{"annotation local", nil, func(s *model.Service) {
			s.Options.Local, s.Ports[0].NodePort = true, 30080
		}, []model.Endpoint{there}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.2.5:8080]
192.0.2.1:30080/tcp node default/web:http keep-source -> [10.244.2.5:8080] outside -> []`, ""},
		{"a dying one while others are ready", nil, nil, []model.Endpoint{dying(here), there},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.2.5:8080] keep [10.244.1.5:8080]", ""},
		{"dying ones as the last resort", nil, nil, []model.Endpoint{dying(here), {Addrs: addrs("10.244.2.9"), Serving: true}},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.9:8080]", ""},
		{"dying one here, ready one there, Local", nil, func(s *model.Service) {
			s.External, s.Ports[0].NodePort = model.Local, 30080
		}, []model.Endpoint{dying(here), there}, `
10.96.0.10:80/tcp cluster default/web:http -> [10.244.2.5:8080] keep [10.244.1.5:8080]
192.0.2.1:30080/tcp node default/web:http keep-source -> [10.244.2.5:8080] outside -> [10.244.1.5:8080]`, ""},
		{"same zone", nil, nil, []model.Endpoint{zones(here, "a"), zones(there, "b")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.5:8080]", ""},
		{"one without a hint", nil, nil, []model.Endpoint{zones(here, "a"), there},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080 10.244.2.5:8080]", ""},
		{"no hint names us", nil, nil, []model.Endpoint{zones(here, "b"), zones(there, "c")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080 10.244.2.5:8080]", ""},
		{"same node before same zone", nil, nil, []model.Endpoint{
			nodes(zones(here, "a"), "self"), nodes(zones(there, "a"), "other")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.5:8080]", ""},
		{"same zone where no node hint names us", nil, nil, []model.Endpoint{
			nodes(zones(here, "b"), "third"), nodes(zones(there, "a"), "other")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.2.5:8080] keep [10.244.1.5:8080]", ""},
		{"Local ignores hints", nil, func(s *model.Service) { s.Internal = model.Local }, []model.Endpoint{zones(here, "b"), zones(there, "a")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080] keep [10.244.2.5:8080]", ""},
		{"headless", nil, func(s *model.Service) { s.Headless = true }, nil, "", ""},
		{"ExternalName", nil, func(s *model.Service) { s.Type = model.ExternalName }, nil, "", ""},
		{"another proxy's", nil, func(s *model.Service) { s.AnotherProxy = true }, nil, "", ""},
		{"bind on all", func(s *model.Settings) { s.Services.NodePortAll = true }, func(s *model.Service) {
			s.Ports[0].NodePort, s.ClusterIPs, s.Families = 30080, nil, []model.Family{model.IPv4, model.IPv6}
		}, nil, `
172.16.0.1:30080/tcp node default/web:http -> []
192.0.2.1:30080/tcp node default/web:http -> []
[2001:db8::1]:30080/tcp node default/web:http -> []`, ""},
		{"node port blocks", func(s *model.Settings) {
			s.Services.NodePortAddresses = []netip.Prefix{prefix("172.16.0.0/12"), prefix("127.0.0.0/8")}
		}, func(s *model.Service) {
			s.Ports[0].NodePort, s.ClusterIPs, s.Families = 30080, nil, []model.Family{model.IPv4}
		}, nil,
			"172.16.0.1:30080/tcp node default/web:http -> []", ""},
		{"addresses out of bounds", nil, func(s *model.Service) {
			s.ClusterIPs, s.Families = nil, []model.Family{model.IPv4}
			s.ExternalIPs = addrs("192.0.2.99", "10.96.0.1", "198.51.100.8", "2001:db8::99")
			s.Ingress = []model.Ingress{{Addr: addr("198.51.100.9")}, {Addr: addr("203.0.113.1"), Proxy: true}}
		}, nil, "198.51.100.8:80/tcp external default/web:http -> []", `
Service default/web: spec.externalIPs[0]: 192.0.2.99 ignored: not in --service-external-ip-range
Service default/web: spec.externalIPs[1]: 10.96.0.1 ignored: it lies in the range of cluster addresses
Service default/web: spec.externalIPs[3]: 2001:db8::99 ignored: the Service has no endpoints of IPv6
Service default/web: status.loadBalancer.ingress[0].ip: 198.51.100.9 ignored: not in --loadbalancer-ip-range`},
		{"no range permits none", func(s *model.Settings) { s.Services.ExternalRanges = nil }, func(s *model.Service) {
			s.ExternalIPs = addrs("198.51.100.8")
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []",
			"Service default/web: spec.externalIPs[0]: 198.51.100.8 ignored: not in --service-external-ip-range"},
		{"without the strict check", func(s *model.Settings) { s.Services.StrictExternal = false }, func(s *model.Service) {
			s.ClusterIPs, s.Families, s.ExternalIPs = nil, []model.Family{model.IPv4}, addrs("192.0.2.99")
		}, nil, "192.0.2.99:80/tcp external default/web:http -> []", ""},
		{"skiplbips", nil, func(s *model.Service) {
			s.Ingress, s.Options.SkipLBIPs = []model.Ingress{{Addr: addr("203.0.113.9")}}, true
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"a family that is off", func(s *model.Settings) { s.IPv6 = false }, func(s *model.Service) {
			s.ClusterIPs, s.Families = addrs("10.96.0.10", "fd00:96::1"), []model.Family{model.IPv4, model.IPv6}
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"options", func(s *model.Settings) { s.Services.MasqueradeAll, s.Services.Hairpin = true, true }, func(s *model.Service) {
			s.Affinity, s.Options.Scheduler, s.Options.SchedulerFlags = 3*time.Hour, "mh", []string{"flag-1", "flag-2"}
		}, nil, "10.96.0.10:80/tcp cluster default/web:http affinity=3h0m0s scheduler=mh,mh-fallback,mh-port masquerade hairpin -> []", ""},
		{"an unknown scheduler", nil, func(s *model.Service) { s.Options.Scheduler = "best" }, nil,
			"10.96.0.10:80/tcp cluster default/web:http -> []",
			`Service default/web: kube-router.io/service.scheduler: "best" is no scheduler: the default is used`},
		{"DSR on another port", nil, func(s *model.Service) {
			s.ClusterIPs, s.Families = nil, []model.Family{model.IPv4}
			s.ExternalIPs, s.Options.DSR = addrs("198.51.100.7"), true
		}, []model.Endpoint{here}, "198.51.100.7:80/tcp external default/web:http -> [10.244.1.5:8080]",
			"Service default/web: kube-router.io/service.dsr: ignored for spec.ports[0]: the pods listen on port 8080, which must be the Service's"},
		{"DSR", nil, func(s *model.Service) {
			s.ExternalIPs, s.Options.DSR, s.Ports[0].Port = addrs("198.51.100.7"), true, 8080
		}, []model.Endpoint{here}, `
10.96.0.10:8080/tcp cluster default/web:http -> [10.244.1.5:8080]
198.51.100.7:8080/tcp external default/web:http dsr -> [10.244.1.5:8080]`, ""},
		{"DSR with another namespace's pod", nil, func(s *model.Service) {
			s.ExternalIPs, s.Options.DSR, s.Ports[0].Port = addrs("198.51.100.7"), true, 8080
		}, []model.Endpoint{here, {Addrs: addrs("10.244.1.9"), Ready: true, Node: "self", Pod: model.Name{Namespace: "kube-system", Name: "dns"}}}, `
10.96.0.10:8080/tcp cluster default/web:http -> [10.244.1.5:8080 10.244.1.9:8080]
198.51.100.7:8080/tcp external default/web:http dsr -> [10.244.1.5:8080]`,
			"Service default/web: kube-router.io/service.dsr: endpoint 10.244.1.9 ignored for spec.ports[0]: pod kube-system/dns is of another namespace"},
		{"what nothing is sent to", nil, nil, []model.Endpoint{here, at("self", "0.1.2.3"), at("self", "10.96.0.10"), at("self", "172.16.0.255")},
			"10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080]",
			"EndpointSlice default/web-1: endpoints: 0.1.2.3 ignored: it is no destination (RFC 6890, 0.0.0.0/8)\n" +
				"EndpointSlice default/web-1: endpoints: 10.96.0.10 ignored: it is an address of Service default/web\n" +
				"EndpointSlice default/web-1: endpoints: 172.16.0.255 ignored: it is the broadcast or network address of 172.16.0.0/24"},
		{"a class of ours, and nobody gives addresses", nil, func(s *model.Service) {
			s.Type, s.Class = model.LoadBalancer, "kube-router"
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []",
			"Service default/web: status.loadBalancer.ingress: no address is given: spec.loadBalancerClass is kube-router, and --run-loadbalancer is off"},
		{"no class, and ranges of ours of which nobody gives addresses", nil, func(s *model.Service) {
			s.Type = model.LoadBalancer
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []",
			"Service default/web: status.loadBalancer.ingress: no address is given: spec.loadBalancerClass is not set, and --run-loadbalancer is off"},
		{"no class, and no ranges of ours", func(s *model.Settings) { s.Allocator.Ranges = nil }, func(s *model.Service) {
			s.Type = model.LoadBalancer
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"no class, which isn't ours", func(s *model.Settings) { s.Balancer = true }, func(s *model.Service) {
			s.Type, s.Class = model.LoadBalancer, "default"
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []",
			"Service default/web: status.loadBalancer.ingress: no address is given: spec.loadBalancerClass is not set, and --loadbalancer-default-class is false"},
		{"no class, and we give addresses", func(s *model.Settings) { s.Balancer, s.Allocator.DefaultClass = true, true }, func(s *model.Service) {
			s.Type = model.LoadBalancer
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"another program's class", nil, func(s *model.Service) {
			s.Type, s.Class = model.LoadBalancer, "example.com/lb"
		}, nil, "10.96.0.10:80/tcp cluster default/web:http -> []", ""},
		{"DSR on nftables", func(s *model.Settings) { s.Services.Engine = model.EngineNftables }, func(s *model.Service) {
			s.ClusterIPs, s.Families = nil, []model.Family{model.IPv4}
			s.ExternalIPs, s.Options.DSR, s.Ports[0].Port = addrs("198.51.100.7"), true, 8080
		}, []model.Endpoint{here}, "198.51.100.7:8080/tcp external default/web:http -> [10.244.1.5:8080]",
			"Service default/web: kube-router.io/service.dsr: ignored: direct server return needs the ipvs engine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := settings()
			if c.set != nil {
				c.set(&set)
			}
			got, remarks := Plan(world(set, c.change, c.endpoints...), web)
			if d := cmp.Diff(strings.TrimSpace(c.want), lines(got)); d != "" {
				t.Errorf("intents (-want +got):\n%s", d)
			}
			if d := cmp.Diff(strings.TrimSpace(c.remarks), text(remarks)); d != "" {
				t.Errorf("remarks (-want +got):\n%s", d)
			}
		})
	}
}

// TestWeights: pods' weights count where the scheduler goes by them, and only there.
func TestWeights(t *testing.T) {
	heavy := at("self", "10.244.1.5")
	heavy.Pod = model.Name{Namespace: "default", Name: "web-0"}
	for scheduler, want := range map[string]string{"": "[10.244.1.4:8080 10.244.1.5:8080]", "rr": "[10.244.1.4:8080 10.244.1.5:8080]", "lc": "[10.244.1.4:8080 10.244.1.5:8080]",
		"dh": "[10.244.1.4:8080 10.244.1.5:8080]", "wrr": "[10.244.1.4:8080 10.244.1.5:8080*7]", "sed": "[10.244.1.4:8080 10.244.1.5:8080*7]", "mh": "[10.244.1.4:8080 10.244.1.5:8080*7]"} {
		m := world(settings(), func(s *model.Service) { s.Options.Scheduler = scheduler }, at("self", "10.244.1.4"), heavy)
		m.Put(&model.Pod{Name: heavy.Pod, Addrs: heavy.Addrs, Weight: 7})
		got, _ := Plan(m, web)
		if have := fmt.Sprint(got[0].Backends); have != want {
			t.Errorf("scheduler %q: %s; want %s", scheduler, have, want)
		}
	}
}

// TestASchedulerThatTheKernelLacks: rr takes its place in the ipvs engine, and the Service is told.
func TestASchedulerThatTheKernelLacks(t *testing.T) {
	for engine, want := range map[model.Engine]string{model.EngineIPVS: "rr", model.EngineNftables: "mh"} {
		set := settings()
		set.Services.Engine = engine
		m := world(set, func(s *model.Service) { s.Options.Scheduler = "mh" }, at("self", "10.244.1.4"))
		m.Put(&model.Lack{Scheduler: "mh"})
		got, remarks := Plan(m, web)
		said := strings.Contains(text(remarks), "kube-router.io/service.scheduler: rr is used on node self: its kernel has no mh (module ip_vs_mh)")
		if string(got[0].Scheduler) != want || said != (want == "rr") {
			t.Errorf("%s: scheduler %s, remarks %s", engine, got[0].Scheduler, text(remarks))
		}
	}
}

func TestBackendsKnowTheirPod(t *testing.T) {
	e := dying(at("self", "10.244.1.5"))
	e.Pod = model.Name{Namespace: "default", Name: "web-0"}
	m := world(settings(), nil, e)
	m.Put(&model.Pod{Name: e.Pod, Addrs: e.Addrs, Grace: time.Minute})
	got, _ := Plan(m, web)
	want := []intent.Backend{{Addr: addr("10.244.1.5"), Port: 8080, Local: true, Pod: "default/web-0", Grace: time.Minute}}
	if d := cmp.Diff(want, got[0].Backends, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAnAddressInTwoSlicesCountsOnce(t *testing.T) {
	m := world(settings(), nil, dying(at("self", "10.244.1.5")))
	m.Put(&model.Slice{
		Name: model.Name{Namespace: "default", Name: "web-0"}, Service: web, Family: model.IPv4,
		Endpoints: []model.Endpoint{at("self", "10.244.1.5")},
		Ports:     []model.SlicePort{{Name: "http", Protocol: model.TCP, Port: 8080}},
	})
	got, _ := Plan(m, web)
	if want := "10.96.0.10:80/tcp cluster default/web:http -> [10.244.1.5:8080]"; lines(got) != want {
		t.Errorf("got %s; want %s", lines(got), want)
	}
}

func TestHealth(t *testing.T) {
	local := func(s *model.Service) {
		s.Type, s.External, s.HealthPort = model.LoadBalancer, model.Local, 31000
	}
	eps := []model.Endpoint{at("self", "10.244.1.5"), at("self", "10.244.1.6"), dying(at("self", "10.244.1.7")), at("other", "10.244.2.5")}
	h := Health(world(settings(), local, eps...), web)
	if h == nil || h.String() != "health :31000 default/web local=2" {
		t.Errorf("got %v; want two ready local endpoints", h)
	}
	if h := Health(world(settings(), func(s *model.Service) { local(s); s.External = model.Cluster }, eps...), web); h != nil {
		t.Errorf("policy Cluster has health %v; want none", h)
	}
}

// TestTooManyEndpoints: those of this node are served, then those of the slices that are first by name; and the Service is told.
func TestTooManyEndpoints(t *testing.T) {
	m := world(settings(), nil)
	for name := range maps.Collect(m.SlicesOf(web)) {
		m.Delete(model.Ref{Kind: model.KindSlice, Name: name})
	}
	for i := range 12 {
		sl := &model.Slice{Name: model.Name{Namespace: web.Namespace, Name: fmt.Sprintf("s%02d", i)}, Service: web, Family: model.IPv4,
			Ports: []model.SlicePort{{Name: "http", Protocol: model.TCP, Port: 8080}}}
		for j := range 1000 {
			e := at("other", netip.AddrFrom4([4]byte{10, 50, byte(4*i + j>>8), byte(j)}).String())
			if i == 11 && j == 7 {
				e.Node = "self"
			}
			sl.Endpoints = append(sl.Endpoints, e)
		}
		m.Put(sl)
	}
	got, remarks := Plan(m, web)
	list := got[0].Backends
	if len(list) != mostEndpoints || list[len(list)-1].Addr != addr("10.50.44.7") || list[len(list)-2].Addr.As4()[2] >= 44 {
		t.Errorf("%d backends, the last ones %v", len(list), list[len(list)-2:])
	}
	want := "Service default/web: spec.ports[0]: 12000 endpoints of IPv4: 10000 are served, those of this node and then those of the slices first by name"
	if !strings.Contains(text(remarks), want) {
		t.Errorf("remarks %s", text(remarks))
	}
	for fronts, want := range map[int]int{0: 10_000, 4: 10_000, 40: 1000, 100_000: 100} {
		if got := room(fronts); got != want {
			t.Errorf("%d frontends: room for %d endpoints, want %d", fronts, got, want)
		}
	}
}
