package advert

import (
	"fmt"
	"strings"
	"testing"

	"kube-router/internal/model"
)

// TestTell: to whom each address goes from here, and why not.
func TestTell(t *testing.T) {
	m := world(func(s *model.Settings) { s.BGP.AdvertiseExternal = true })
	m.Put(router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) {
		p.Peer.Export = []model.BGPRule{{Prefixes: []model.BGPPrefix{{Prefix: pfx("10.99.0.8/32"), Min: 32, Max: 32}}}}
	}))
	m.Put(router64513("tor2", "10.0.0.201"))
	m.Put(advertisement("gold", func(a *model.BGPAdvertisement) { a.Services, a.Peers = labelled("tier", "gold"), []string{"tor1"} }))
	m.Put(advertisement("far", func(a *model.BGPAdvertisement) { a.Services, a.Nodes = labelled("tier", "far"), labelled("rack", "2") }))
	for name, s := range map[string]*model.Service{
		"gold": {Ingress: []model.Ingress{{Addr: addrs("10.99.0.7")[0]}}}, "kept": {Ingress: []model.Ingress{{Addr: addrs("10.99.0.8")[0]}}},
		"far": {Ingress: []model.Ingress{{Addr: addrs("10.99.0.9")[0]}}}, "none": {Ingress: []model.Ingress{{Addr: addrs("10.99.0.10")[0]}}},
		"local": {ExternalIPs: addrs("10.98.0.7"), External: model.Local},
	} {
		s.Name, s.Type, s.ClusterIPs, s.Ports = model.Name{Namespace: "x", Name: name}, model.LoadBalancer, addrs("10.96.0.7"), []model.ServicePort{{Port: 80, Protocol: 6}}
		s.Labels = map[string]string{"tier": strings.Replace(name, "kept", "gold", 1)}
		m.Put(s)
	}
	var out strings.Builder
	for _, o := range Tell(m) {
		if !strings.HasPrefix(o.Prefix.String(), "10.96") {
			fmt.Fprintf(&out, "%s %s by %q to %v withheld %v: %s\n", o.Prefix, o.For, o.By, o.To, o.Withheld, o.Not)
		}
	}
	const want = `10.98.0.7/32 Service x/local by "" to [] withheld []: no Service that has it has a ready endpoint anywhere
10.99.0.7/32 Service x/gold by "BGPAdvertisement gold" to [10.0.0.200] withheld []: 
10.99.0.8/32 Service x/kept by "BGPAdvertisement gold" to [] withheld [10.0.0.200]: export filters keep it from every router that it is for
10.99.0.9/32 Service x/far by "" to [] withheld []: BGPAdvertisement far speaks of it, and doesn't select this node
10.99.0.10/32 Service x/none by "" to [] withheld []: no BGPAdvertisement speaks of it, and no flag or annotation advertises a balancer address
10.244.1.0/24 Node a by "flags and annotations" to [10.0.0.200 10.0.0.201] withheld []: 
fd01::/64 Node a by "flags and annotations" to [10.0.0.200 10.0.0.201] withheld []: 
`
	if out.String() != want {
		t.Errorf("have\n%swant\n%s", out.String(), want)
	}
}
