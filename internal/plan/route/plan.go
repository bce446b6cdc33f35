package route

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// SourceAPI is the value of --node-routes that takes the nodes' pod ranges from their Node objects.
const SourceAPI = "api"

// Path plans the route to a learned prefix.
func Path(m *model.Model, prefix netip.Prefix) ([]*intent.Route, []model.Remark) {
	p := m.Paths[prefix]
	if p == nil || !m.Settings.Router {
		return nil, nil
	}
	p = unsealed(m, p)
	note := remarks{object: p.Ref()}
	why := ""
	if p.External || len(p.Refused) > 0 {
		why = holder.MayTeach(m, prefix)
	}
	if len(p.Refused) > 0 && m.Settings.Has(family(prefix)) {
		note.add("", "not taken from "+joined(p.Refused)+": "+cmp.Or(why, "the policy of this node refuses it (node.bgp.customimportreject, spec.import of a BGPPeer, or it is an address that this node advertises)"))
	}
	if len(p.NextHops) == 0 {
		return nil, note.list
	}
	switch {
	case !m.Settings.Has(family(prefix)):
		note.add("", "ignored: "+family(prefix).String()+" is not enabled")
		return nil, note.list
	case ownRange(m, prefix):
		note.add("", "ignored: it is part of this node's own pod range")
		return nil, note.list
	case slices.Contains(aggregates(m), prefix):
		note.add("", "ignored: this node advertises it")
		return nil, note.list
	case wired(m, p):
		return nil, note.list
	case near(m, prefix) != "":
		note.add("", "ignored: "+near(m, prefix))
		return nil, note.list
	case m.Settings.Routes.Source == SourceAPI && (!p.External || m.IsRange(prefix) || p.Kept && !fromRouters(m, p)):
		return nil, note.list
	case why != "" && p.External && !fromNodes(m, p):
		note.add("", "ignored: "+why)
		return nil, note.list
	}
	return build(m, prefix, hops(m, p), &note), note.list
}

// hops are a path's next hops, but for a pod range that several nodes claim that of the node that holds it: shared
// among them, each pod would miss a part of its packets.
func hops(m *model.Model, p *model.Path) []netip.Addr {
	if p.External && !fromNodes(m, p) {
		return p.NextHops
	}
	all := holder.Claimants(m, p.Prefix)
	if len(all) < 2 {
		return p.NextHops
	}
	var list []netip.Addr
	for _, hop := range p.NextHops {
		if n := m.NodeAt(hop); n != nil && n.Name == all[0].Name {
			list = append(list, hop)
		}
	}
	if a := all[0].IP(family(p.Prefix)); len(list) == 0 && a.IsValid() {
		list = []netip.Addr{a}
	}
	return list
}

// near tells that a prefix needs no router because it is a subnet of this node, or a node in one. Taken from a
// router, such a route would be refused by the kernel beside its own, or win over it, or put the nodes' next hops
// behind the router, where the kernel takes them for none.
func near(m *model.Model, prefix netip.Prefix) string {
	if l := m.LinkOf(prefix); l != nil {
		return "it is a subnet of this node, at " + l.Name
	}
	if !prefix.IsSingleIP() {
		return ""
	}
	a := prefix.Addr()
	switch n := m.NodeAt(a); {
	case m.LinkWith(a) != nil || n != nil && n.Name == m.Settings.Node:
		return "it is this node's own address"
	case n != nil && m.LinkTo(a) != nil:
		return "it is node " + n.Name + ", in a subnet of this node"
	}
	return ""
}

// Node plans the routes to another node's pod ranges where they come from its Node object, and tells of ranges that an
// older node holds.
func Node(m *model.Model, name string) ([]*intent.Route, []model.Remark) {
	n := m.Nodes[name]
	if n == nil || !m.Settings.Router {
		return nil, nil
	}
	note := remarks{object: n.Ref()}
	var list []*intent.Route
	for _, prefix := range n.PodCIDRs {
		f := family(prefix)
		keeper := holder.Keeper(m, n, prefix)
		if keeper != nil && m.Settings.Has(f) {
			note.add("spec.podCIDRs", prefix.String()+" leads to node "+keeper.Name+", which is older and has that range too, or one around it: give each node its own")
		}
		wire := keeper == nil && holder.Wire(m, n)
		switch {
		case !m.Settings.Has(f) || keeper != nil || name == m.Settings.Node || m.Settings.Routes.Source != SourceAPI && !wire:
			continue
		case ownRange(m, prefix):
			note.add("spec.podCIDRs", prefix.String()+" ignored: it is part of this node's own pod range")
		case wire:
			list = append(list, encrypted(m, n, prefix))
		case !n.IP(f).IsValid():
			note.add("status.addresses", prefix.String()+" has no route: the node has no "+f.String()+" address")
		default:
			list = append(list, build(m, prefix, []netip.Addr{n.IP(f)}, &note)...)
		}
	}
	for _, prefix := range learned(m, n) {
		list = append(list, encrypted(m, n, prefix))
	}
	return list, note.list
}

// Self plans what keeps packets to our own pod ranges, and to the ranges that we announce in place of all nodes',
// from looping and, with overlays, what makes packets from our pods see the tunnels even to the nodes' own
// addresses.
func Self(m *model.Model) ([]*intent.Route, []*intent.PodTable, []model.Remark) {
	n := m.Self()
	if n == nil || !m.Settings.Router {
		return nil, nil, nil
	}
	var list []*intent.Route
	table := &intent.PodTable{}
	for _, prefix := range n.PodCIDRs {
		if !m.Settings.Has(family(prefix)) {
			continue
		}
		list = append(list, &intent.Route{Prefix: prefix, Refuse: true})
		table.Sources = append(table.Sources, prefix)
	}
	for _, prefix := range aggregates(m) {
		if !slices.Contains(n.PodCIDRs, prefix) {
			list = append(list, &intent.Route{Prefix: prefix, Refuse: true})
		}
	}
	if !m.Settings.Routes.Overlay && !m.Settings.Encryption.On || len(table.Sources) == 0 {
		return list, nil, nil
	}
	return list, []*intent.PodTable{table}, nil
}

// aggregates are the ranges that routers outside are told to send here whatever is in them: what no node has
// must not go back to them (RFC 4632 section 5.1).
func aggregates(m *model.Model) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range m.Settings.BGP.AggregatePodCIDRs {
		if m.Settings.BGP.AdvertisePodCIDR && m.Settings.Has(family(p)) {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// build makes the route to a prefix through those next hops that can be used.
func build(m *model.Model, prefix netip.Prefix, via []netip.Addr, note *remarks) []*intent.Route {
	r := &intent.Route{Prefix: prefix}
	for _, a := range via {
		h, why := hop(m, family(prefix), a)
		if why == "" && h.Tunnel != nil && prefix.Contains(a) {
			why = "the tunnel to it would lead into itself"
		}
		if why != "" {
			note.add("", "next hop "+a.String()+" of "+prefix.String()+" not used: "+why)
			continue
		}
		r.Hops = append(r.Hops, h)
		if h.Tunnel != nil {
			r.Source = h.Tunnel.Local
		}
	}
	if len(r.Hops) == 0 {
		return nil
	}
	slices.SortFunc(r.Hops, intent.Hop.Compare)
	r.Hops = slices.CompactFunc(r.Hops, func(a, b intent.Hop) bool { return a.Compare(b) == 0 })
	return []*intent.Route{r}
}

// Way tells how packets get to another node in a family, or why they can't.
func Way(m *model.Model, n *model.Node, f model.Family) (intent.Hop, string) {
	return hop(m, f, n.IP(f))
}

// hop tells how a next hop is reached, or why it can't be.
func hop(m *model.Model, f model.Family, via netip.Addr) (intent.Hop, string) {
	settings := &m.Settings.Routes
	link, node := m.LinkTo(via), m.NodeAt(via)
	switch {
	case model.FamilyOf(via) != f:
		return intent.Hop{}, "it is of another family than the prefix"
	case m.LinkWith(via) != nil || node != nil && node.Name == m.Settings.Node:
		return intent.Hop{}, "it is this node"
	case settings.Overlay && node != nil && (link == nil || settings.OverlayType == "full"):
		return tunnel(m, f, via)
	case link != nil:
		return intent.Hop{Via: via, Dev: link.Name}, ""
	case node != nil:
		return intent.Hop{}, "it is in no subnet of this node and overlays are off; the network must route it"
	}
	return intent.Hop{}, "it is neither a node nor in a subnet of this node; the network must route it"
}

func tunnel(m *model.Model, f model.Family, remote netip.Addr) (intent.Hop, string) {
	local := netip.Addr{}
	if n := m.Self(); n != nil {
		local = n.IP(f)
	}
	if !local.IsValid() {
		return intent.Hop{}, "a tunnel needs an " + f.String() + " address of this node"
	}
	t := &intent.Tunnel{Encap: intent.Encap(m.Settings.Routes.OverlayEncap), Local: local, Remote: remote, Port: tunnelPort(&m.Settings)}
	if l := m.LinkWith(local); l != nil {
		t.MTU = l.MTU - t.Encap.Overhead(f == model.IPv6)
	}
	return intent.Hop{Via: remote, Tunnel: t}, ""
}

// ownRange tells whether a prefix is one of our pod ranges or lies within one.
func ownRange(m *model.Model, p netip.Prefix) bool {
	n := m.Self()
	return n != nil && slices.ContainsFunc(n.PodCIDRs, func(own netip.Prefix) bool {
		return own.Bits() <= p.Bits() && own.Contains(p.Addr())
	})
}

// fromNodes tells whether a path is one that an earlier life left in the kernel, which doesn't tell who taught it, and
// leads to nodes alone.
func fromNodes(m *model.Model, p *model.Path) bool {
	return p.Kept && !slices.ContainsFunc(p.NextHops, func(hop netip.Addr) bool { return m.NodeAt(hop) == nil })
}

func joined(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// fromRouters tells whether a path leads through peers outside alone. Of what an earlier life left in the kernel
// nothing else tells a route that such a peer had taught from one that a Node object was the reason of, which
// may be gone by now.
func fromRouters(m *model.Model, p *model.Path) bool {
	routers := m.Settings.BGP.Peers
	if n := m.Self(); n != nil && len(routers) == 0 {
		routers = n.Options.Peers
	}
	return !slices.ContainsFunc(p.NextHops, func(hop netip.Addr) bool {
		return !slices.ContainsFunc(routers, func(r model.Peer) bool { return r.Addr == hop })
	})
}

func family(p netip.Prefix) model.Family { return model.FamilyOf(p.Addr()) }

// remarks collects remarks about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, message string) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: message})
}
