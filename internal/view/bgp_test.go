package view

import (
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

// TestLearnedFrom: a path that is refused, or that goes through WireGuard, has no next hop.
func TestLearnedFrom(t *testing.T) {
	m := model.New(model.Settings{})
	m.Put(&model.Node{Name: "n1", InternalIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	hop := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	for want, p := range map[string]*model.Path{
		"refused of 192.0.2.1": {Refused: hop("192.0.2.1")}, "node": {Kept: true, Sealed: true}, "node n1": {NextHops: hop("10.0.0.1")},
		"router": {NextHops: hop("192.0.2.1"), External: true},
	} {
		if have := learnedFrom(m, p); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}
