package model

import (
	"maps"
	"net/netip"
	"slices"
)

// ranges finds the nodes' pod ranges that lie around a prefix or in it. Nearly always the ranges of a family are of
// one length, and then there is nothing to look for.
type ranges struct {
	at      map[netip.Prefix]map[string]*Node
	lengths map[Family][]int // how many ranges there are of each length in bits
}

func newRanges() ranges {
	return ranges{
		at:      map[netip.Prefix]map[string]*Node{},
		lengths: map[Family][]int{IPv4: make([]int, 33), IPv6: make([]int, 129)},
	}
}

func (r ranges) put(n *Node) {
	for _, p := range n.PodCIDRs {
		p = p.Masked()
		if r.at[p] == nil {
			r.lengths[FamilyOf(p.Addr())][p.Bits()]++
		}
		index(r.at, p, n.Name, n)
	}
}

func (r ranges) remove(n *Node) {
	for _, p := range n.PodCIDRs {
		p = p.Masked()
		if r.at[p] == nil {
			continue // named twice
		}
		unindex(r.at, p, n.Name)
		if r.at[p] == nil {
			r.lengths[FamilyOf(p.Addr())][p.Bits()]--
		}
	}
}

// IsRange tells whether p is a pod range of some node.
func (m *Model) IsRange(p netip.Prefix) bool { return m.ranges.at[p.Masked()] != nil }

// RangeAround tells whether a node's pod range holds all of p and more.
func (m *Model) RangeAround(p netip.Prefix) bool {
	for bits, count := range m.ranges.lengths[FamilyOf(p.Addr())][:p.Bits()] {
		if count > 0 && m.ranges.at[netip.PrefixFrom(p.Addr(), bits).Masked()] != nil {
			return true
		}
	}
	return false
}

// PodRange is the pod range that holds all of p, be it p itself, with its node; of several the narrowest, and of several
// nodes, which is a mistake, the first by name. The Node is nil where there is none.
func (m *Model) PodRange(p netip.Prefix) (netip.Prefix, *Node) {
	lengths := m.ranges.lengths[FamilyOf(p.Addr())]
	for bits := p.Bits(); bits >= 0; bits-- {
		if lengths[bits] == 0 {
			continue
		}
		around := netip.PrefixFrom(p.Addr(), bits).Masked()
		var best *Node
		for _, n := range m.ranges.at[around] {
			if best == nil || n.Name < best.Name {
				best = n
			}
		}
		if best != nil {
			return around, best
		}
	}
	return netip.Prefix{}, nil
}

// NodesWithin are the nodes with a pod range that is a part of p, in no order.
func (m *Model) NodesWithin(p netip.Prefix) []string {
	longer := 0
	for _, count := range m.ranges.lengths[FamilyOf(p.Addr())][p.Bits()+1:] {
		longer += count
	}
	if longer == 0 {
		return nil
	}
	var list []string
	for part, nodes := range m.ranges.at {
		if part.Bits() <= p.Bits() || !p.Contains(part.Addr()) {
			continue
		}
		for name := range nodes {
			list = append(list, name)
		}
	}
	return list
}

// NodesAround are the nodes with a pod range that is p or lies around it, or with the address that p is, sorted by name.
func (m *Model) NodesAround(p netip.Prefix) []string {
	var list []string
	for bits, count := range m.ranges.lengths[FamilyOf(p.Addr())][:p.Bits()+1] {
		if count > 0 {
			list = slices.AppendSeq(list, maps.Keys(m.ranges.at[netip.PrefixFrom(p.Addr(), bits).Masked()]))
		}
	}
	if p.IsSingleIP() {
		list = slices.AppendSeq(list, maps.Keys(m.nodesBy[p.Addr()]))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
