package agent

import (
	"slices"

	"kube-router/internal/model"
)

// touch tells which units of a stage a change makes us plan anew.
type touch func(m *model.Model, c change, add func(model.Ref))

// flow is the architecture on one screen: what changed, and for each stage what that touches. A stage that
// keeps an index of its own (policy) tells the rest through its note function.
var flow = map[model.Kind]map[string]touch{
	model.KindService: {"service": itself, "advert": itself, "balancer": whole},
	model.KindSlice:   {"service": itsService, "advert": itsService},
	model.KindPod:     {"service": podServices},
	model.KindNode:    {"service": ifSelf(whole), "route": nodeRoutes, "advert": nodeAdverts, "host": ifSelf(whole), "egress": nodeEgress, "inside": ifSelf(whole), "ipvs": ifSelf(whole)},
	model.KindLink:    {"service": whole, "route": whole, "host": whole, "ipvs": whole},
	model.KindPath:    {"route": itself},
}

// itself is the unit that is the changed object.
func itself(_ *model.Model, c change, add func(model.Ref)) { add(c.ref) }

// whole is every unit of the stage.
func whole(_ *model.Model, _ change, add func(model.Ref)) { add(everything) }

// itsService is the Service that a slice belongs to, and the one that it belonged to before.
func itsService(_ *model.Model, c change, add func(model.Ref)) {
	for _, o := range []model.Object{c.old, c.new} {
		if s, ok := o.(*model.Slice); ok && s.Service.Name != "" {
			add(model.Ref{Kind: model.KindService, Name: s.Service})
		}
	}
}

// podServices are the Services that a pod answers for, where something counts that its slices don't tell: how
// long it may take to go, and whether it has a network of its own. The ipvs engine alone asks.
func podServices(m *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Pod)
	now, _ := c.new.(*model.Pod)
	if m.Settings.Services.Engine != model.EngineIPVS ||
		old != nil && now != nil && old.Grace == now.Grace && old.HostNetwork == now.HostNetwork && slices.Equal(old.Addrs, now.Addrs) {
		return
	}
	for _, s := range m.SlicesTo(c.ref.Name) {
		add(model.Ref{Kind: model.KindService, Name: s.Service})
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

// nodeRoutes are the routes to a node's ranges. When it is ours, everything about routes may differ; another
// node's addresses also decide whether a learned next hop is a node, and by which tunnel it is reached, and its
// ranges whether a learned prefix counts.
func nodeRoutes(m *model.Model, c change, add func(model.Ref)) {
	add(c.ref)
	if c.ref.Name.Name == m.Settings.Node {
		add(everything)
		return
	}
	for _, o := range []model.Object{c.old, c.new} {
		n, ok := o.(*model.Node)
		if !ok {
			continue
		}
		for _, prefix := range n.PodCIDRs {
			if p := m.Paths[prefix]; p != nil {
				add(p.Ref())
			}
		}
		for _, hop := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
			for _, p := range m.PathsVia(hop) {
				add(p.Ref())
			}
		}
	}
}
