package nft

import (
	"net/netip"
	"testing"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
)

func TestPacketsLeaveWithTheNodesAddress(t *testing.T) {
	w := newWorld(t)
	pod := w.host("pod", "10.244.1.1", "fd00:244:1::1")
	far := w.host("far", "10.244.2.1", "fd00:244:2::1") // a pod of another node
	outside := w.host("outside", "198.51.100.2", "2001:db8:1::2")
	w.uplink(outside)
	for _, h := range []*host{pod, far, outside} {
		h.serve(web)
	}
	pfx := netip.MustParsePrefix
	e := &intent.Egress{
		Pods: []netip.Prefix{pfx("10.244.1.0/24"), pfx("fd00:244:1::/64")},
		Keep: []netip.Prefix{pfx("10.244.0.0/16")},
	}
	peer := &intent.Peer{Ranges: []netip.Prefix{pfx("fd00:244::/32")}}
	var changes []nft.Change
	for _, r := range append(Egress(e), Peer(peer)...) {
		changes = append(changes, nft.Change{Key: r.Key(), New: &r})
	}
	w.must(w.table.Apply(t.Context(), changes))
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		node := []string{"169.254.1.1", "fd00:ffff::1"}[family] // on the links of this world
		for _, x := range []struct {
			from, to *host
			saw      string
		}{
			{pod, outside, node},
			{pod, far, pod.addr[family].String()},
			{far, pod, far.addr[family].String()},
			{far, outside, far.addr[family].String()}, // its own node's business
			{outside, pod, outside.addr[family].String()},
		} {
			got, err := x.from.ask(intent.Front{Addr: x.to.addr[family], Port: web, Protocol: protocol})
			if want := (answer{x.to.name, x.saw}); got != want || err != nil {
				t.Errorf("%s to %s: %v, %v; want %v", x.from.name, x.to.name, got, err, want)
			}
		}
	})
}

func TestPacketsToUnusedServiceAddressesEndHere(t *testing.T) {
	w := newWorld(t)
	pod := w.host("pod", "10.244.1.1", "fd00:244:1::1")
	outside := w.host("outside", "10.97.0.9", "fd00:97::9")
	w.uplink(outside)
	outside.serve(web)
	front := func(family int) intent.Front { return intent.Front{Addr: outside.addr[family], Port: web, Protocol: 6} }
	for family := range outside.addr {
		if _, err := pod.ask(front(family)); err != nil {
			t.Fatalf("before: %v", err)
		}
	}
	var changes []nft.Change
	for _, r := range Egress(&intent.Egress{Refuse: []netip.Prefix{netip.MustParsePrefix("10.97.0.0/16"), netip.MustParsePrefix("fd00:97::/112")}}) {
		changes = append(changes, nft.Change{Key: r.Key(), New: &r})
	}
	w.must(w.table.Apply(t.Context(), changes))
	for family := range outside.addr {
		if err := pod.refused(front(family)); err != nil {
			t.Error(err)
		}
	}
}
