package holder

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// EgressMost is how many addresses one EgressGateway leaves from in a family; those beyond it are not used.
const EgressMost = 256

// Gateways are the EgressGateways, the eldest first: who comes first has the pod or the address that two of them want.
func Gateways(m *model.Model) []*model.EgressGateway {
	if !m.Settings.Gateways {
		return nil
	}
	list := make([]*model.EgressGateway, 0, len(m.Gateways))
	for _, g := range m.Gateways {
		list = append(list, g)
	}
	slices.SortFunc(list, (*model.EgressGateway).Older)
	return list
}

// GatewayOf is the EgressGateway of a pod among those that Gateways gives, or nil. A pod on the host's network is the node, and has none.
func GatewayOf(m *model.Model, all []*model.EgressGateway, o *model.Pod) *model.EgressGateway {
	ns := m.Namespaces[o.Name.Namespace]
	if o.HostNetwork || o.Finished || ns == nil {
		return nil
	}
	for _, g := range all {
		if g.Namespaces.Matches(ns.Labels) && g.Pods.Matches(o.Labels) {
			return g
		}
	}
	return nil
}

// EgressAddress is the address from which a pod's address leaves, of those that its gateway has; zero: there is none of the family. It follows
// from the pod's own address, by rendezvous hashing: whoever knows the one knows the other, an address that comes or goes
// moves those pods alone that get or had it, and a pod that inherits another's address leaves as that one did.
func EgressAddress(list []netip.Addr, pod netip.Addr) (best netip.Addr) {
	var most uint64
	for _, a := range list {
		if a.Is6() != pod.Is6() {
			continue
		}
		if w := weight(pod.AsSlice(), a.AsSlice()); !best.IsValid() || w > most || w == most && a.Less(best) {
			best, most = a, w
		}
	}
	return best
}

// EgressNodes are the nodes that may be the gateway for an address, best first. The first one is. Those that have fallen silent, are not ready
// or on their way out are none of them; those that are to draw no traffic from outside come last. The order is by rendezvous hashing, so
// that a node which goes moves none but the addresses that it had.
func EgressNodes(m *model.Model, g *model.EgressGateway, a netip.Addr) []*model.Node {
	return slices.DeleteFunc(egressRanks(m, g, a), func(n *model.Node) bool { return n.Name != m.Settings.Node && m.Silent(n.Name, "") })
}

// egressWatched is how many of the best nodes for an address are watched: should two go at once, the third is known to live.
const egressWatched = 3

// EgressWatch are the other nodes whose silence would move an address of the claims, by name.
func EgressWatch(m *model.Model, claims []EgressClaim) []*model.Node {
	var list []*model.Node
	for _, c := range claims {
		ranks := egressRanks(m, c.Gateway, c.Addr)
		list = append(list, ranks[:min(len(ranks), egressWatched)]...)
	}
	slices.SortFunc(list, func(x, y *model.Node) int { return cmp.Compare(x.Name, y.Name) })
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(n *model.Node) bool { return n.Name == m.Settings.Node })
}

// egressRanks are the nodes that may be the gateway so far as the API server says.
func egressRanks(m *model.Model, g *model.EgressGateway, a netip.Addr) []*model.Node {
	f := model.FamilyOf(a)
	var list []*model.Node
	for _, n := range m.Nodes {
		if !n.NotReady && !n.Leaving && n.IP(f).IsValid() && g.Nodes.Matches(n.Labels) {
			list = append(list, n)
		}
	}
	weigh := func(n *model.Node) uint64 { return weight([]byte(n.Name), a.AsSlice()) }
	slices.SortFunc(list, func(x, y *model.Node) int {
		return cmp.Or(later(m, x)-later(m, y), cmp.Compare(weigh(y), weigh(x)), cmp.Compare(x.Name, y.Name))
	})
	return list
}

func later(m *model.Model, n *model.Node) int {
	if Drained(m, n) {
		return 1
	}
	return 0
}

// EgressClaim is an address to leave from.
type EgressClaim struct {
	Addr    netip.Addr
	Gateway *model.EgressGateway
	Node    *model.Node // that is the gateway; nil: none can be, so that nothing leaves
	Slot    uint32      // 1 to EgressSlots, one of its own in this cluster
}

// EgressSlots is how many addresses the gateways of a cluster may have together, in both families.
const EgressSlots = 4095

// Egresses are all addresses to leave from, sorted, and remarks on those that can't be. An address that several gateways name is the eldest's;
// one that somebody else has (a node, or a Service) is nobody's.
func Egresses(m *model.Model) ([]EgressClaim, []model.Remark) {
	var claims []EgressClaim
	var remarks []model.Remark
	has := map[netip.Addr]*model.EgressGateway{}
	for _, g := range Gateways(m) {
		list, more := addressesOf(m, g, has)
		remarks = append(remarks, more...)
		for _, a := range list {
			c := EgressClaim{Addr: a, Gateway: g}
			if nodes := EgressNodes(m, g, a); len(nodes) > 0 {
				c.Node = nodes[0]
			}
			claims = append(claims, c)
		}
	}
	slices.SortFunc(claims, func(x, y EgressClaim) int { return x.Addr.Compare(y.Addr) })
	return slots(claims), remarks
}

// addressesOf are the addresses that a gateway has, in order of the ranges.
func addressesOf(m *model.Model, g *model.EgressGateway, has map[netip.Addr]*model.EgressGateway) ([]netip.Addr, []model.Remark) {
	var list []netip.Addr
	var remarks []model.Remark
	count := map[bool]int{}
	note := func(text string) {
		remarks = append(remarks, model.Remark{Object: g.Ref(), Field: "spec.addresses", Message: text})
	}
	ranges, fits, why := rangesOf(m, g)
	if why != "" {
		remarks = append(remarks, model.Remark{Object: g.Ref(), Field: "spec.pool", Message: why + ", so selected pods don't leave"})
	}
	for _, r := range ranges {
		if !m.Settings.Has(r.Family()) {
			note(r.String() + " not used: " + r.Family().String() + " is not enabled")
			continue
		}
		for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; a = a.Next() {
			if !fits(a) {
				continue
			}
			if count[a.Is6()]++; count[a.Is6()] > EgressMost {
				note(a.String() + " and those after it are not used: a gateway leaves from 256 addresses of a family at most")
				break
			}
			if o := has[a]; o != nil {
				note(a.String() + " not used: EgressGateway " + o.Name + ", which is older, has it")
				continue
			}
			if why := belongs(m, a); why != "" {
				note(a.String() + " not used: " + why)
				continue
			}
			has[a] = g
			list = append(list, a)
		}
	}
	return list, remarks
}

// rangesOf are the ranges that a gateway leaves from, and which of their addresses count: its own, or its pool's.
func rangesOf(m *model.Model, g *model.EgressGateway) (ranges []model.AddrRange, fits func(netip.Addr) bool, why string) {
	if g.Pool == "" {
		return g.Addresses, func(netip.Addr) bool { return true }, ""
	}
	p := m.Pools[g.Pool]
	switch {
	case p == nil:
		return nil, nil, "there is no AddressPool " + g.Pool
	case !p.Egress:
		return nil, nil, "AddressPool " + g.Pool + " is not used for Egress (spec.uses)"
	case p.Balancer:
		return nil, nil, "AddressPool " + g.Pool + " gives addresses to Services too: give the gateway a pool of its own"
	}
	return p.Ranges, p.Has, ""
}

// Egressing tells whether a gateway names an address to leave from, be it its to have or not.
func Egressing(m *model.Model, a netip.Addr) bool {
	for _, g := range m.Gateways {
		ranges, _, _ := rangesOf(m, g)
		if slices.ContainsFunc(ranges, func(r model.AddrRange) bool { return r.Contains(a) }) {
			return true
		}
	}
	return false
}

// belongs tells whose an address is that can't be one to leave from; empty: nobody's.
func belongs(m *model.Model, a netip.Addr) string {
	if n := m.NodeAt(a); n != nil {
		return "it is node " + n.Name + "'s own"
	}
	if list := m.ServicesAt(a); len(list) > 0 {
		return "it is Service " + list[0].Name.String() + "'s, where packets end that come back"
	}
	if _, n := m.PodRange(netip.PrefixFrom(a, a.BitLen())); n != nil {
		return "it lies in the pod range of node " + n.Name
	}
	return ""
}

// slots gives each address a number of its own by open addressing, in the order of the addresses: same addresses, same numbers, wherever
// it is asked; and an address that comes rarely moves others. Those that don't fit are left out.
func slots(claims []EgressClaim) []EgressClaim {
	if len(claims) > EgressSlots {
		claims = claims[:EgressSlots]
	}
	taken := map[uint32]bool{}
	for i := range claims {
		n := uint32(weight(claims[i].Addr.AsSlice())%EgressSlots) + 1
		for taken[n] {
			n = n%EgressSlots + 1
		}
		taken[n] = true
		claims[i].Slot = n
	}
	return claims
}

// weight is FNV-1a of the parts with their lengths between them, stirred: the last byte of FNV moves few of the high bits.
func weight(parts ...[]byte) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{byte(len(p))})
	}
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
