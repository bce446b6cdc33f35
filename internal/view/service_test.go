package view

import (
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// TestWhyTellsWhoseAFrontIs shows that of Services that want one front the holder is told with those that go behind it.
func TestWhyTellsWhoseAFrontIs(t *testing.T) {
	m := model.New(model.Settings{Node: "n1", Proxy: true, IPv4: true})
	put := func(name string, day int, external, cluster []netip.Addr) {
		m.Put(&model.Service{
			Name: model.Name{Namespace: "default", Name: name}, Created: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC), ExternalIPs: external, ClusterIPs: cluster,
			Families: []model.Family{model.IPv4}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}},
		})
	}
	shared, alone := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.96.0.1")
	put("older", 1, []netip.Addr{shared}, nil)
	put("newer", 2, []netip.Addr{shared}, nil)
	put("web", 3, nil, []netip.Addr{alone})
	text := over(m, intent.Front{Addr: shared, Port: 80, Protocol: 6}) + over(m, intent.Front{Addr: alone, Port: 80, Protocol: 6})
	want := " (it is the external address of Service default/older, of 2026-01-01T00:00:00Z;" +
		" goes before the external address of Service default/newer, of 2026-01-02T00:00:00Z)"
	if text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestMentions(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.7")
	for text, want := range map[string]bool{
		"192.0.2.7 ignored": true, "192.0.2.7:80/tcp is not served": true, "see 192.0.2.7.": true, "192.0.2.70 ignored": false, "": false,
	} {
		if mentions(text, at) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
	if !mentions("[fd00::1]:80/tcp is not served", netip.MustParseAddr("fd00::1")) {
		t.Error("of IPv6")
	}
}
