package agent

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
)

// touch tells which units of a stage a change makes us plan anew.
type touch func(m *model.Model, c change, add func(model.Ref))

// flow is the architecture on one screen: what changed, and for each stage what that touches. A stage that
// keeps an index of its own (policy) tells the rest through its note function.
var flow = map[model.Kind]map[string]touch{
	model.KindService: {"service": contenders, "advert": both(contenders, swayed), "balancer": whole, "guard": answering},
	model.KindSlice:   {"service": itsService, "advert": both(itsService, itsSharers), "guard": answering},
	model.KindPod:     {"service": podServices, "guard": podPorts},
	model.KindNode: {"service": both(ifSelf(whole), nodeClaims), "host": ifSelf(whole), "inside": ifSelf(whole), "ipvs": ifSelf(whole),
		"forward": ranged, "route": ofNode(nodeRoutes), "advert": both(both(ofNode(nodeAdverts), nodeDrained), nodeClaims), "egress": ofNode(nodeEgress)},
	model.KindPool:       {"balancer": whole},
	model.KindLink:       {"service": whole, "route": whole, "host": whole, "ipvs": whole, "inside": whole, "advert": nodesAndSelf},
	model.KindPath:       {"route": itself},
	model.KindOverflow:   {"advert": itself},
	model.KindAttachment: {"guard": itself},
	model.KindNamespace:  {"guard": freed},
	model.KindForeign:    {"forward": whole},
}

// itself is the unit that is the changed object.
func itself(_ *model.Model, c change, add func(model.Ref)) { add(c.ref) }

// whole is every unit of the stage.
func whole(_ *model.Model, _ change, add func(model.Ref)) { add(everything) }

// ranged is every unit of the stage where a Node's pod ranges are others now.
func ranged(_ *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Node)
	now, _ := c.new.(*model.Node)
	if host.Ranged(old, now) {
		add(everything)
	}
}

// nodesAndSelf are the node itself and every node: whether one is in a subnet of ours counts for its session, and for
// what routers may teach.
func nodesAndSelf(m *model.Model, _ change, add func(model.Ref)) {
	for name := range m.Nodes {
		add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
	}
	add(model.Ref{Kind: model.KindSettings})
}

// itsService is the Service that a slice belongs to, and the one that it belonged to before.
func itsService(_ *model.Model, c change, add func(model.Ref)) {
	for _, o := range []model.Object{c.old, c.new} {
		if s, ok := o.(*model.Slice); ok && s.Service.Name != "" {
			add(model.Ref{Kind: model.KindService, Name: s.Service})
		}
	}
}

// podServices are the Services that a pod answers for, where something counts that its slices don't tell: how
// long it may take to go, whether it has a network of its own, whether a Service's selector has it, and whether it has an
// endpoint's address that another pod has too. The ipvs engine alone asks.
func podServices(m *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Pod)
	now, _ := c.new.(*model.Pod)
	if m.Settings.Services.Engine != model.EngineIPVS ||
		old != nil && now != nil && old.Grace == now.Grace && old.HostNetwork == now.HostNetwork && old.Finished == now.Finished &&
			slices.Equal(old.Addrs, now.Addrs) && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for _, s := range m.SlicesTo(c.ref.Name) {
		add(model.Ref{Kind: model.KindService, Name: s.Service})
	}
	for _, o := range []model.Object{c.old, c.new} {
		if p, ok := o.(*model.Pod); ok {
			for _, a := range p.Addrs {
				pointed(m, a, add)
			}
		}
	}
}

// ifSelf narrows a touch to changes of the Node that we run on.
func ifSelf(f touch) touch {
	return func(m *model.Model, c change, add func(model.Ref)) {
		if c.ref.Name.Name == m.Settings.Node {
			f(m, c, add)
		}
	}
}

// ofNode touches everything when our own Node changed, else the node itself and what f finds for the node as it was
// and as it is.
func ofNode(f func(m *model.Model, n *model.Node, add func(model.Ref))) touch {
	return func(m *model.Model, c change, add func(model.Ref)) {
		add(c.ref)
		if c.ref.Name.Name == m.Settings.Node {
			add(everything)
			return
		}
		for _, o := range []model.Object{c.old, c.new} {
			if n, ok := o.(*model.Node); ok {
				f(m, n, add)
			}
		}
	}
}

// nodeRoutes are the learned paths that another node bears on: its addresses decide whether a next hop is a node, and
// by which tunnel it is reached, and they and its ranges whether a prefix counts.
func nodeRoutes(m *model.Model, n *model.Node, add func(model.Ref)) {
	for _, name := range append(holder.Overlapping(m, n), n.Name) {
		if name != n.Name {
			add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
		}
		o := m.Nodes[name]
		if o == nil {
			o = n // as it was
		}
		for _, prefix := range slices.Concat(o.PodCIDRs, n.PodCIDRs) {
			if p := m.Paths[prefix]; p != nil {
				add(p.Ref())
			}
		}
	}
	for _, hop := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		if p := m.Paths[netip.PrefixFrom(hop, hop.BitLen())]; p != nil {
			add(p.Ref())
		}
		for _, p := range m.PathsVia(hop) {
			add(p.Ref())
		}
	}
}

// nodeEgress are the parts of the egress exceptions that lie within another node's ranges.
func nodeEgress(m *model.Model, n *model.Node, add func(model.Ref)) {
	for _, r := range n.PodCIDRs {
		nodes, rest := host.Near(m, r)
		for _, name := range nodes {
			add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
		}
		if rest {
			add(model.Ref{Kind: model.KindSettings})
		}
	}
}

// nodeAdverts are the sessions with nodes that claim one of another node's addresses too and, if that is a reflector,
// whether we have one.
func nodeAdverts(m *model.Model, n *model.Node, add func(model.Ref)) {
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		for name := range m.NodesAt(a) {
			add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
		}
	}
	if n.Options.RRServer != "" || slices.Contains(holder.Overlapping(m, n), m.Settings.Node) {
		add(model.Ref{Kind: model.KindSettings})
	}
}

// nodeDrained is everything when a node begins or ceases to draw traffic: where shared addresses are announced depends on
// it. That happens when somebody cordons a node.
func nodeDrained(m *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Node)
	now, _ := c.new.(*model.Node)
	if old != nil && now != nil && holder.Drained(m, old) != holder.Drained(m, now) {
		add(everything)
	}
}

// both touches what either does.
func both(f, g touch) touch {
	return func(m *model.Model, c change, add func(model.Ref)) {
		f(m, c, add)
		g(m, c, add)
	}
}
