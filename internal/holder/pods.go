package holder

import (
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/model"
)

// Claimants are the nodes with a pod range that p is or lies in. The first one holds it: the oldest (by
// metadata.creationTimestamp), then the first by name. Several are a mistake of who gives the ranges, and packets to
// a pod's address must all go to one node.
func Claimants(m *model.Model, p netip.Prefix) []*model.Node {
	var list []*model.Node
	for _, name := range m.NodesAround(p) {
		n := m.Nodes[name]
		if slices.ContainsFunc(n.PodCIDRs, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) }) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *model.Node) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// Keeper is the node that holds a pod range of n in its place, or nil: n holds it.
func Keeper(m *model.Model, n *model.Node, p netip.Prefix) *model.Node {
	if all := Claimants(m, p); len(all) > 0 && all[0].Name != n.Name {
		return all[0]
	}
	return nil
}

// Overlapping are the other nodes that have a part of one of n's pod ranges, or all of it, by name.
func Overlapping(m *model.Model, n *model.Node) []string {
	var list []string
	for _, p := range n.PodCIDRs {
		list = append(list, m.NodesWithin(p)...)
		for _, o := range Claimants(m, p) {
			list = append(list, o.Name)
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(name string) bool { return name == n.Name })
}
