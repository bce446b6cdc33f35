package model

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestRanges asks the index and a walk over all nodes, with nodes that come, change and go.
func TestRanges(t *testing.T) {
	m := New(Settings{})
	r := rand.New(rand.NewPCG(1, 2))
	some := func() netip.Prefix {
		if r.IntN(3) == 0 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: byte(r.IntN(4) << 6)}), 8+r.IntN(4)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(16) << 4)}), 8+r.IntN(6)).Masked()
	}
	for range 5000 {
		n := &Node{Name: fmt.Sprint(r.IntN(8))}
		if r.IntN(4) == 0 {
			m.Delete(n.Ref())
		} else {
			for range r.IntN(3) {
				n.PodCIDRs = append(n.PodCIDRs, some())
			}
			m.Put(n)
		}
		p := some()
		around, is := false, false
		within := map[string]bool{}
		for _, n := range m.Nodes {
			for _, q := range n.PodCIDRs {
				around = around || q.Bits() < p.Bits() && q.Contains(p.Addr())
				is = is || q == p
				if q.Bits() > p.Bits() && p.Contains(q.Addr()) {
					within[n.Name] = true
				}
			}
		}
		have := m.NodesWithin(p)
		slices.Sort(have)
		have = slices.Compact(have)
		same := len(have) == len(within) && !slices.ContainsFunc(have, func(n string) bool { return !within[n] })
		if m.RangeAround(p) != around || m.IsRange(p) != is || !same {
			t.Fatalf("%s among %v: around %t, is %t, within %v; want %t, %t, %v", p, m.Nodes, m.RangeAround(p), m.IsRange(p), have, around, is, within)
		}
	}
}
