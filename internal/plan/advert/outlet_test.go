package advert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

func advertisement(name string, change func(*model.BGPAdvertisement)) *model.BGPAdvertisement {
	ad := &model.BGPAdvertisement{Name: name, Created: time.Unix(int64(len(name)), 0), Balancer: true, Length: map[model.Family]int{}}
	if change != nil {
		change(ad)
	}
	return ad
}

func labelled(key, value string) model.Selector {
	return model.Selector{Requirements: []model.Requirement{{Key: key, Op: model.In, Values: []string{value}}}}
}

// TestAdvertisements: what goes out by whom, of a Service at 10.99.0.7 and 10.98.0.7, where flags would advertise both.
func TestAdvertisements(t *testing.T) {
	med, yes := uint32(0), true
	for _, c := range []struct {
		name, want string
		put        []model.Object
		self       func(*model.Node)
		service    func(*model.Service)
	}{
		{name: "none: flags", want: "service 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1\n"},
		{
			name: "one of load balancer addresses, to every router", put: []model.Object{advertisement("all", nil)},
			want: "advertisement all to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\n",
		},
		{
			name: "with all that it may add", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) {
				a.Peers, a.Communities, a.LocalPref, a.MED = []string{"tor1"}, []string{"64512:7", "no-export", "1:2:3"}, 300, &med
			})},
			want: "advertisement all to 10.0.0.200 communities [4227858439 4294967041] large [[1 2 3]] local-pref 300 med 0\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\n",
		},
		{
			name: "peers by labels", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { s := labelled("place", "inside"); a.PeerLabels = &s })},
			want: "advertisement all to 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\n",
		},
		{
			name: "other nodes advertise it, so this one doesn't", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Nodes = labelled("rack", "2") })},
			want: "service 10.98.0.7/32 via 10.0.0.1\n",
		},
		{
			name: "what can't be read advertises nothing", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Broken = "odd" })},
			want: "service 10.98.0.7/32 via 10.0.0.1\n",
		},
		{
			name: "other Services", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Services = labelled("tier", "gold") })},
			want: "advertisement all to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1\n",
		},
		{
			name: "a pool's", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Pools = []string{"near"} }),
				&model.Pool{Name: "near", Balancer: true, Ranges: []model.AddrRange{model.RangeOf(pfx("10.99.0.0/24"))}}},
			want: "advertisement all to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\n",
		},
		{
			name: "aggregated within its range", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Length[model.IPv4] = 24 })},
			want: "advertisement all to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.0/24 via 10.0.0.1 by all\n",
		},
		{
			name: "no aggregate is wider than the range", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Length[model.IPv4] = 15 })},
			want: "advertisement all to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\n",
		},
		{
			name: "two, of different sorts, and an annotation that has no say", put: []model.Object{advertisement("a", nil), advertisement("bb", func(a *model.BGPAdvertisement) { a.Balancer, a.External = false, true })},
			service: func(s *model.Service) { s.Options.AdvertiseLB = &yes },
			want: "advertisement a to 10.0.0.200 10.0.0.201\nadvertisement bb to 10.0.0.200 10.0.0.201\nservice 10.98.0.7/32 via 10.0.0.1 by bb\nservice 10.99.0.7/32 via 10.0.0.1 by a\n" +
				"Service x/web: kube-router.io/service.advertise.loadbalancerip: 10.99.0.7 is advertised as BGPAdvertisement a says\n",
		},
		{
			name: "a filter keeps one from one router", put: []model.Object{advertisement("all", func(a *model.BGPAdvertisement) { a.Communities = []string{"64512:7"} }),
				router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Peer.Export = []model.BGPRule{{Community: "64512:7"}} })},
			want: "advertisement all to 10.0.0.200 10.0.0.201 communities [4227858439]\nservice 10.98.0.7/32 via 10.0.0.1\nservice 10.99.0.7/32 via 10.0.0.1 by all\nwithheld 10.99.0.7/32 from 10.0.0.200\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := world(func(s *model.Settings) { s.BGP.AdvertiseLB, s.BGP.AdvertiseExternal = true, true })
			s := &model.Service{Name: model.Name{Namespace: "x", Name: "web"}, Type: model.LoadBalancer, ClusterIPs: addrs("10.96.0.7"), ExternalIPs: addrs("10.98.0.7"),
				Ingress: []model.Ingress{{Addr: addrs("10.99.0.7")[0]}}, Ports: []model.ServicePort{{Port: 80, Protocol: 6}}}
			if c.service != nil {
				c.service(s)
			}
			m.Put(s)
			m.Put(router64513("tor1", "10.0.0.200"))
			m.Put(router64513("tor2", "10.0.0.201", func(p *model.BGPPeer) { p.Labels = map[string]string{"place": "inside"} }))
			for _, o := range c.put {
				m.Put(o)
			}
			var out strings.Builder
			b, _ := Speaker(m)
			for _, o := range b.Outlets {
				fmt.Fprintln(&out, o)
			}
			list, remarks := Service(m, s.Name, &holder.Memo{})
			for _, a := range list {
				fmt.Fprintln(&out, a)
			}
			for _, w := range Withheld(m, list) {
				fmt.Fprintln(&out, w)
			}
			for _, r := range remarks {
				fmt.Fprintln(&out, r)
			}
			if out.String() != c.want {
				t.Errorf("have\n%swant\n%s", out.String(), c.want)
			}
		})
	}
}

// TestPodsByObjects: pod ranges go by an object to whom it says, and to nodes as ever.
func TestPodsByObjects(t *testing.T) {
	m := world(nil)
	m.Put(router64513("tor1", "10.0.0.200"))
	m.Put(advertisement("pods", func(a *model.BGPAdvertisement) { a.Balancer, a.Pods = false, true }))
	b, _ := Speaker(m)
	if have := fmt.Sprint(b.Announces, b.Exchange.PodsOutside); have != "[pods 10.244.1.0/24 via 10.0.0.1 pods outside 10.244.1.0/24 via 10.0.0.1 by pods pods fd01::/64 via fd00::1 pods outside fd01::/64 via fd00::1 by pods] false" {
		t.Error(have)
	}
	m.Put(advertisement("pods", func(a *model.BGPAdvertisement) { a.Balancer, a.Pods, a.Nodes = false, true, labelled("rack", "2") }))
	if b, _ = Speaker(m); fmt.Sprint(b.Announces, b.Exchange.PodsOutside) != "[pods 10.244.1.0/24 via 10.0.0.1 pods fd01::/64 via fd00::1] true" {
		t.Error("of other nodes' ranges it says nothing here: ", b.Announces, b.Exchange.PodsOutside)
	}
}

// TestVerdictsOnAdvertisements: an object that can't do what it says tells why, and names what isn't there.
func TestVerdictsOnAdvertisements(t *testing.T) {
	for want, change := range map[string]func(*model.BGPAdvertisement){
		"[BGPAdvertisement all: 1 nodes] []":                                   nil,
		"[BGPAdvertisement all: 1 nodes, spec.med: odd] []":                    func(a *model.BGPAdvertisement) { a.Broken = "spec.med: odd" },
		"[BGPAdvertisement all: 0 nodes, its nodeSelector selects no node] []": func(a *model.BGPAdvertisement) { a.Nodes = labelled("rack", "2") },
		"[BGPAdvertisement all: 1 nodes, there is no BGPPeer that it is for] [BGPAdvertisement all: spec.peers: there is no BGPPeer tor9]": func(a *model.BGPAdvertisement) { a.Peers = []string{"tor9"} },
		"[BGPAdvertisement all: 1 nodes] [BGPAdvertisement all: spec.pools: there is no AddressPool far]":                                  func(a *model.BGPAdvertisement) { a.Pools = []string{"far"} },
		"[BGPAdvertisement all: 1 nodes] [BGPAdvertisement all: spec.addresses: of addresses that it speaks of --advertise-pod-cidr and annotations of Services have no say]": func(a *model.BGPAdvertisement) {
			a.Pods = true
		},
	} {
		m := world(nil)
		m.Put(advertisement("all", change))
		v, remarks := Advertisement(m, "all")
		if have := fmt.Sprint(v, remarks); have != want {
			t.Errorf("have %s\nwant %s", have, want)
		}
	}
}

// TestFilters: the first rule that matches decides, else it passes.
func TestFilters(t *testing.T) {
	rules := []model.BGPRule{
		{Accept: true, Prefixes: []model.BGPPrefix{{Prefix: pfx("10.0.0.0/8"), Min: 32, Max: 32}}, Community: "64512:7"},
		{Prefixes: []model.BGPPrefix{{Prefix: pfx("10.0.0.0/8"), Min: 24, Max: 32}, {Prefix: pfx("fd00::/8"), Min: 8, Max: 128}}},
	}
	for _, c := range []struct {
		prefix, marks string
		want          bool
	}{
		{"10.1.2.3/32", "64512:7", true}, {"10.1.2.3/32", "64512:8", false}, {"10.1.2.0/24", "64512:7", false}, {"10.1.0.0/16", "", true},
		{"192.0.2.1/32", "", true}, {"fd01::/64", "", false}, {"2001:db8::/32", "", true},
	} {
		if have := permits(rules, pfx(c.prefix), strings.Fields(c.marks)); have != c.want {
			t.Errorf("%s with %q passes: %t", c.prefix, c.marks, have)
		}
	}
	b := &intent.Neighbor{Import: rulesOf([]model.BGPRule{{Community: "no-export", Path: model.ASMatch{How: model.ASOriginates, ASN: 65000}}, {Accept: true, Community: "1:2:3"}})}
	if have := fmt.Sprint(b.Import); have != "[reject originates 65000 community 65535:65281 accept community 1:2:3]" {
		t.Error(have)
	}
}
