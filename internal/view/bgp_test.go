package view

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/watch/peer"
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

// TestRoutesWithoutASpeaker: while the BGP speaker doesn't answer, `show routes` has what the daemon itself knows. Of one prefix, paths that are
// refused have a line of their own.
func TestRoutesWithoutASpeaker(t *testing.T) {
	m := model.New(model.Settings{})
	prefix, router, other := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	m.Put(&model.Path{Prefix: prefix, NextHops: []netip.Addr{router}, External: true, Refused: []netip.Addr{other}})
	d := Daemon{
		BGP:   reconcile.NewLedger[row.BgpKey, row.Bgp](),
		Think: func(_ context.Context, f func(World)) error { f(World{Model: m}); return nil },
		Received: func(context.Context, []netip.Prefix) ([]peer.Received, error) {
			return nil, errors.New("the speaker is away")
		},
	}
	p, err := d.routesView(t.Context(), nil)
	if err != nil || len(p.Rows) != 1 || p.Rows[0][2] != "router" || p.Note != "attributes are missing: the speaker is away" {
		t.Errorf("%v %q (%v)", p.Rows, p.Note, err)
	}
	d.Received = func(context.Context, []netip.Prefix) ([]peer.Received, error) {
		return []peer.Received{{Prefix: prefix, NextHop: router, Peer: router, Best: true}}, nil
	}
	p, err = d.routesView(t.Context(), []string{prefix.String()})
	if err != nil || len(p.Rows) != 2 || p.Rows[0][2] != "router 192.0.2.1" || p.Rows[1][2] != "refused of 192.0.2.2" {
		t.Errorf("%v (%v)", p.Rows, err)
	}
}
