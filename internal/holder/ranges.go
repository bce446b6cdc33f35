package holder

import (
	"cmp"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// RangeKind says what a range of ours is for.
type RangeKind uint8

// The kinds of range.
const (
	PodRange      RangeKind = iota // a node's pods
	PodSpace                       // all nodes' pods: --cluster-cidr, --advertise-pod-aggregate
	ClusterRange                   // cluster addresses of Services
	ExternalRange                  // external addresses of Services
	BalancerRange                  // addresses of LoadBalancer Services
	NodeAddress                    // one address of a node
)

// String names the kind.
func (k RangeKind) String() string {
	return [...]string{"pod range", "space of pod ranges", "range of cluster addresses", "range of external addresses",
		"range of balancer addresses", "node address"}[k]
}

// Range is a block of addresses that is ours: nobody outside the cluster has addresses in it.
type Range struct {
	netip.Prefix
	Kind RangeKind
	Node string // whose it is, for PodRange and NodeAddress
	Flag string // the flag that gives it, for the others
}

// String prints "10.244.1.0/24, the pod range of node n1" or "10.96.0.0/12, the range of cluster addresses".
func (r Range) String() string {
	text := r.Prefix.String() + ", the " + r.Kind.String()
	if r.Node != "" {
		text += " of node " + r.Node
	}
	if r.Flag != "" {
		text += " (" + r.Flag + ")"
	}
	return text
}

// Around are the ranges of ours that hold all of p, be it p itself: the narrowest first. A prefix wider than a range of
// ours is not in it, and takes nothing from it where the range has a route of its own.
func Around(m *model.Model, p netip.Prefix) []Range {
	p = p.Masked()
	var list []Range
	if at, n := m.PodRange(p); n != nil {
		list = append(list, Range{Prefix: at, Kind: PodRange, Node: n.Name})
	}
	if n := m.NodeAt(p.Addr()); p.IsSingleIP() && n != nil {
		list = append(list, Range{Prefix: p, Kind: NodeAddress, Node: n.Name})
	}
	for _, r := range Spaces(&m.Settings) {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Range) int { return -cmp.Compare(a.Bits(), b.Bits()) })
	return list
}

// Spaces are the ranges that the settings give to the whole cluster.
func Spaces(set *model.Settings) []Range {
	var list []Range
	for _, g := range []struct {
		kind   RangeKind
		flag   string
		ranges []netip.Prefix
	}{
		{PodSpace, "--cluster-cidr", set.Routes.ClusterCIDRs},
		{PodSpace, "--advertise-pod-aggregate", set.BGP.AggregatePodCIDRs},
		{ClusterRange, "--service-cluster-ip-range", set.Services.ClusterRanges},
		{ExternalRange, "--service-external-ip-range", set.Services.ExternalRanges},
		{BalancerRange, "--loadbalancer-ip-range", set.Allocator.Ranges},
	} {
		for _, r := range g.ranges {
			list = append(list, Range{Prefix: r.Masked(), Kind: g.kind, Flag: g.flag})
		}
	}
	return list
}

// Own tells whether an address is of this node: of its Node object or of one of its links. Addresses that we put on it
// ourselves, those of Services, are not among them.
func Own(m *model.Model, a netip.Addr) bool {
	n := m.Self()
	return n != nil && (slices.Contains(n.InternalIPs, a) || slices.Contains(n.ExternalIPs, a)) || m.LinkOwning(a) != nil
}
