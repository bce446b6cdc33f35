package advert

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

// TestEgress is the table of which addresses to leave from this node announces: those whose gateway it is.
func TestEgress(t *testing.T) {
	ip := netip.MustParseAddr
	for _, c := range []struct {
		name   string
		change func(m *model.Model, other *model.Node)
		want   string
	}{
		{"the only node that is selected", func(_ *model.Model, other *model.Node) { other.Labels = nil },
			"[service 203.0.113.7/32 via 10.0.0.1 service 2001:db8::7/128 via fd00::1]"},
		{"another is", func(m *model.Model, _ *model.Node) {
			n := *m.Self()
			n.Labels = nil
			m.Put(&n)
		}, "[]"},
		{"the other has fallen silent", func(m *model.Model, other *model.Node) { m.Put(&model.Silence{Node: "b"}) },
			"[service 203.0.113.7/32 via 10.0.0.1 service 2001:db8::7/128 via fd00::1]"},
		{"off", func(m *model.Model, other *model.Node) { other.Labels = nil; m.Settings.Gateways = false }, "[]"},
		{"no router", func(m *model.Model, other *model.Node) { other.Labels = nil; m.Settings.Router = false }, "[]"},
		{"without an AS", func(m *model.Model, other *model.Node) { other.Labels = nil; m.Settings.BGP.FullMesh = false }, "[]"},
	} {
		m := model.New(model.Settings{Node: "a", Router: true, Gateways: true, IPv4: true, IPv6: true, BGP: model.BGPSettings{ASN: 64512, FullMesh: true}})
		yes := map[string]string{"egress": "yes"}
		m.Put(&model.Node{Name: "a", InternalIPs: []netip.Addr{ip("10.0.0.1"), ip("fd00::1")}, Labels: yes})
		other := &model.Node{Name: "b", InternalIPs: []netip.Addr{ip("10.0.0.2"), ip("fd00::2")}, Labels: yes}
		m.Put(&model.EgressGateway{
			Name: "g", Nodes: model.Selector{Requirements: []model.Requirement{{Key: "egress", Values: []string{"yes"}}}},
			Addresses: []model.AddrRange{{First: ip("203.0.113.7"), Last: ip("203.0.113.7")}, {First: ip("2001:db8::7"), Last: ip("2001:db8::7")}},
		})
		c.change(m, other)
		m.Put(other)
		if have := fmt.Sprint(Egress(m)); have != c.want {
			t.Errorf("%s: have %s, want %s", c.name, have, c.want)
		}
	}
}
