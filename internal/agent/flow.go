package agent

import "kube-router/internal/model"

// touch tells which units of a stage a change makes us plan anew.
type touch func(m *model.Model, c change, add func(model.Ref))

// flow is the architecture on one screen: what changed, and for each stage what that touches. A stage that
// keeps an index of its own (policy) tells the rest through its note function.
var flow = map[model.Kind]map[string]touch{
	model.KindService: {"service": itself, "advert": itself, "balancer": whole},
	model.KindSlice:   {"service": itsService, "advert": itsService},
	model.KindNode:    {"service": ifSelf(whole), "route": nodeRoutes, "advert": nodeAdverts, "host": whole, "inside": whole},
	model.KindLink:    {"service": whole, "route": whole, "host": whole},
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

// ifSelf narrows a touch to changes of the Node that we run on.
func ifSelf(f touch) touch {
	return func(m *model.Model, c change, add func(model.Ref)) {
		if c.ref.Name.Name == m.Settings.Node {
			f(m, c, add)
		}
	}
}

// nodeRoutes are the routes to a node's ranges. When it is ours, everything about routes may differ; another
// node's address also decides whether a learned next hop is a node, and by which tunnel it is reached.
func nodeRoutes(m *model.Model, c change, add func(model.Ref)) {
	add(c.ref)
	if c.ref.Name.Name == m.Settings.Node {
		add(everything)
		return
	}
	for prefix, p := range m.Paths {
		for _, o := range []model.Object{c.old, c.new} {
			n, ok := o.(*model.Node)
			if ok && reaches(n, p) {
				add(model.Ref{Kind: model.KindPath, Name: model.Name{Name: prefix.String()}})
			}
		}
	}
}

// reaches tells whether a path's next hop is one of a node's addresses.
func reaches(n *model.Node, p *model.Path) bool {
	for _, hop := range p.NextHops {
		if hop == n.IP(model.FamilyOf(hop)) {
			return true
		}
	}
	return false
}
