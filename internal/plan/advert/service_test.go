package advert

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

// web is a Service of every kind of address.
func web(change ...func(*model.Service)) *model.Service {
	s := &model.Service{
		Name: model.Name{Namespace: "default", Name: "web"}, Type: model.LoadBalancer,
		ClusterIPs: addrs("10.96.0.5 fd00:96::5"), ExternalIPs: addrs("10.98.0.5"),
		Ingress: []model.Ingress{{Addr: netip.MustParseAddr("10.99.0.5")}, {Addr: netip.MustParseAddr("fd00:99::5")}},
		Ports:   []model.ServicePort{{Port: 80, Protocol: model.TCP}}, Internal: model.Cluster, External: model.Cluster,
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func endpoints(family model.Family, at ...model.Endpoint) *model.Slice {
	for i := range at {
		at[i].Addrs = addrs("10.244.9.9")
	}
	return &model.Slice{
		Name:    model.Name{Namespace: "default", Name: fmt.Sprintf("web-%s", family)},
		Service: model.Name{Namespace: "default", Name: "web"}, Family: family, Endpoints: at,
	}
}

const (
	clusters  = "10.96.0.5/32 fd00:96::5/128"
	externals = "10.98.0.5/32"
	balancers = "10.99.0.5/32 fd00:99::5/128"
)

func TestService(t *testing.T) {
	yes, no := true, false
	every := func(s *model.Settings) {
		s.BGP.AdvertiseCluster, s.BGP.AdvertiseExternal, s.BGP.AdvertiseLB = true, true, true
	}
	local := func(s *model.Service) { s.External = model.Local }
	ready := []*model.Slice{endpoints(model.IPv4, model.Endpoint{Ready: true, Serving: true, Node: "a"})}
	for _, c := range []struct {
		name     string
		settings func(*model.Settings)
		self     func(*model.Node)
		service  func(*model.Service)
		slices   []*model.Slice
		want     string // prefixes, in any order
		remarks  string
	}{
		{name: "nothing by default"},
		{name: "everything by flag", settings: every, want: clusters + " " + externals + " " + balancers},
		{name: "by annotation", service: func(s *model.Service) { s.Options.AdvertiseExternal = &yes }, want: externals},
		{name: "not by annotation", settings: every, service: func(s *model.Service) {
			s.Options.AdvertiseCluster, s.Options.AdvertiseLB = &no, &no
		}, want: externals},
		{name: "headless", settings: every, service: func(s *model.Service) { s.Headless = true }},
		{name: "another proxy's", settings: every, service: func(s *model.Service) { s.AnotherProxy = true }},
		{name: "a type without balancer", settings: every, service: func(s *model.Service) { s.Type = model.NodePort }, want: clusters + " " + externals},
		{name: "an external name", settings: every, service: func(s *model.Service) { s.Type = model.ExternalName }},
		{name: "skipped balancer addresses", settings: every, service: func(s *model.Service) { s.Options.SkipLBIPs = true }, want: clusters + " " + externals},
		{name: "a balancer that forwards by itself", settings: every, service: func(s *model.Service) { s.Ingress[0].Proxy = true }, want: clusters + " " + externals + " fd00:99::5/128"},
		{name: "outside of the ranges, the planner of Services says so", settings: every, service: func(s *model.Service) {
			s.ExternalIPs, s.Ingress = addrs("203.0.113.1 10.96.0.9"), nil
		}, want: clusters},
		{name: "or we, where that is off", settings: func(s *model.Settings) { every(s); s.Proxy = false }, service: func(s *model.Service) {
			s.ExternalIPs, s.Ingress = addrs("203.0.113.1 10.96.0.9"), nil
		}, want: clusters, remarks: "Service default/web: spec.externalIPs[0]: 203.0.113.1 ignored: not in --service-external-ip-range\n" +
			"Service default/web: spec.externalIPs[1]: 10.96.0.9 ignored: it lies in the range of cluster addresses\n"},
		{name: "without the check", settings: func(s *model.Settings) { every(s); s.Services.StrictExternal = false }, service: func(s *model.Service) {
			s.ExternalIPs, s.Ingress = addrs("203.0.113.1"), nil
		}, want: clusters + " 203.0.113.1/32"},
		{name: "Local without endpoints", settings: every, service: local},
		{name: "Local with a ready endpoint of one family", settings: every, service: local, slices: ready, want: "10.96.0.5/32 10.98.0.5/32 10.99.0.5/32"},
		{name: "Local by annotation", settings: every, service: func(s *model.Service) { s.Options.Local = true }, slices: ready, want: "10.96.0.5/32 10.98.0.5/32 10.99.0.5/32"},
		{name: "Local with an endpoint elsewhere", settings: every, service: local, slices: []*model.Slice{endpoints(model.IPv4, model.Endpoint{Ready: true, Node: "b"})}},
		{name: "Local with one that only serves", settings: every, service: local, slices: []*model.Slice{endpoints(model.IPv4, model.Endpoint{Serving: true, Terminating: true, Node: "a"})}},
		{name: "internally Local only binds the cluster's addresses", settings: every, service: func(s *model.Service) { s.Internal = model.Local }, want: externals + " " + balancers},
		{name: "excluded from balancers", settings: every, self: func(n *model.Node) { n.ExcludeFromLB = true }},
		{name: "cordoned", settings: every, self: func(n *model.Node) { n.Unschedulable = true }, want: clusters + " " + externals + " " + balancers},
		{name: "cordoned, with the flag", settings: func(s *model.Settings) { every(s); s.Routes.DrainUnscheduled = true }, self: func(n *model.Node) { n.Unschedulable = true }},
		{name: "a family that is off", settings: func(s *model.Settings) { every(s); s.IPv6 = false }, want: "10.96.0.5/32 10.98.0.5/32 10.99.0.5/32"},
		{name: "a family without address", settings: every, self: func(n *model.Node) { n.InternalIPs = addrs("10.0.0.1") }, want: "10.96.0.5/32 10.98.0.5/32 10.99.0.5/32",
			remarks: "Service default/web: spec.clusterIPs[1]: fd00:96::5 not advertised: the node has no IPv6 address\n" +
				"Service default/web: status.loadBalancer.ingress[1].ip: fd00:99::5 not advertised: the node has no IPv6 address\n"},
		{name: "in a range that is advertised whole", settings: func(s *model.Settings) { every(s); s.BGP.AggregateServices = true }},
		{name: "Local in such a range", settings: func(s *model.Settings) { every(s); s.BGP.AggregateServices = true }, service: local, slices: ready, want: "10.96.0.5/32 10.98.0.5/32 10.99.0.5/32"},
	} {
		m := world(c.settings, func(n *model.Node) {
			if c.self != nil {
				c.self(n)
			}
		})
		s := web()
		if c.service != nil {
			c.service(s)
		}
		m.Put(s)
		for _, slice := range c.slices {
			m.Put(slice)
		}
		list, remarks := Service(m, s.Name, &holder.Memo{})
		var have []string
		for _, a := range list {
			have = append(have, a.Prefix.String())
			if hop := map[bool]string{true: "10.0.0.1", false: "fd00::1"}[a.Prefix.Addr().Is4()]; a.NextHop.String() != hop {
				t.Errorf("%s: %s has next hop %s", c.name, a.Prefix, a.NextHop)
			}
		}
		if d := cmp.Diff(ordered(strings.Join(strings.Fields(c.want), "\n")), ordered(strings.Join(have, "\n"))); !same(c.want, have) {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
		var text string
		for _, r := range remarks {
			text += r.String() + "\n"
		}
		if d := cmp.Diff(c.remarks, text); d != "" {
			t.Errorf("%s: remarks: want - have +:\n%s", c.name, d)
		}
	}
}

func same(want string, have []string) bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(want) {
		set[w] = true
	}
	for _, h := range have {
		if !set[h] {
			return false
		}
		delete(set, h)
	}
	return len(set) == 0
}

// TestGone withdraws what a Service had.
func TestGone(t *testing.T) {
	m := world(func(s *model.Settings) { s.BGP.AdvertiseExternal = true })
	if list, remarks := Service(m, model.Name{Namespace: "default", Name: "web"}, &holder.Memo{}); len(list)+len(remarks) > 0 {
		t.Error(list, remarks)
	}
}
