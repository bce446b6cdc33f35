package host

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

func TestForward(t *testing.T) {
	for _, c := range []struct {
		name          string
		change        func(m *model.Model)
		want, blocked string
	}{
		{"nothing of others", func(m *model.Model) { m.Foreign = map[string]*model.ForwardChain{} }, "[]", "[]"},
		{"policy drop in one family", func(*model.Model) {}, "[forward pods [10.244.0.0/22] whatever others drop]", "[inet firewalld f]"},
		{"the cluster's range", func(m *model.Model) {
			m.Settings.Routes.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		},
			"[forward pods [10.0.0.0/8] whatever others drop]", "[inet firewalld f]"},
		{"a node that claims all", func(m *model.Model) {
			m.Put(&model.Node{Name: "n4", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
		},
			"[forward pods [10.244.0.0/22] whatever others drop]", "[inet firewalld f]"},
		{"without our firewall", func(m *model.Model) { m.Settings.Firewall = false }, "[forward pods [10.244.0.0/22] after what others drop]", "[inet firewalld f]"},
		{"a rule drops", func(m *model.Model) {
			m.Put(&model.ForwardChain{Family: "ip6", Table: "filter", Name: "FORWARD", Drops: true})
		},
			"[forward pods [10.244.0.0/22] whatever others drop forward pods [fd00:1::/64] whatever others drop]", "[inet firewalld f]"},
		{"a rule that may be policy drops", func(m *model.Model) {
			m.Settings.Firewall = false
			m.Put(&model.ForwardChain{Family: "ip6", Table: "filter", Name: "FORWARD", Drops: true})
		}, "[forward pods [10.244.0.0/22] after what others drop]", "[inet firewalld f]"},
		{"iptables-legacy, where nothing is written", func(m *model.Model) {
			m.Put(&model.ForwardChain{Family: "ip6", Table: "filter", Name: "FORWARD", Policy: true, Closed: true, Legacy: true})
		}, "[forward pods [10.244.0.0/22] whatever others drop]", "[inet firewalld f ip6tables-legacy filter FORWARD]"},
		{"forbidden", func(m *model.Model) { m.Settings.Accept = false }, "[]", "[inet firewalld f ip filter FORWARD]"},
		{"pods may pass", func(m *model.Model) {
			m.Settings.Accept = false
			for _, c := range m.Foreign {
				o := *c
				o.Open = true
				m.Put(&o)
			}
		}, "[]", "[]"},
		{"no router", func(m *model.Model) { m.Settings.Router = false }, "[]", "[]"},
		{"not our family", func(m *model.Model) { m.Settings.IPv4 = false }, "[]", "[inet firewalld f]"},
	} {
		m := model.New(model.Settings{Node: "n0", Router: true, Firewall: true, Accept: true, IPv4: true, IPv6: true})
		for i := range 4 {
			n := &model.Node{Name: fmt.Sprintf("n%d", i), PodCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", i))}}
			if i == 0 {
				n.PodCIDRs = append(n.PodCIDRs, netip.MustParsePrefix("fd00:1::/64"))
			}
			m.Put(n)
		}
		m.Put(&model.ForwardChain{Family: "ip", Table: "filter", Name: "FORWARD", Policy: true, Closed: true})
		m.Put(&model.ForwardChain{Family: "inet", Table: "firewalld", Name: "f", Drops: true, Closed: true})
		c.change(m)
		if have := fmt.Sprint(Forward(m)); have != c.want {
			t.Errorf("%s: have %s, want %s", c.name, have, c.want)
		}
		if have := fmt.Sprint(Blocked(m)); have != c.blocked {
			t.Errorf("%s: blocked %s, want %s", c.name, have, c.blocked)
		}
	}
}
