package think

import (
	"slices"

	"kube-router/internal/model"
	"kube-router/internal/plan/host"
)

// nodeWire are the nodes that another one bears on as a peer: those with its keys, its addresses or its ranges; and this node, where
// its ranges are to be guarded or it is called by another family.
func nodeWire(m *model.Model, c Change, add func(model.Ref)) {
	ofNode(func(m *model.Model, n *model.Node, add func(model.Ref)) {
		nodeRoutes(m, n, add)
		sameKey(m, n, add)
	})(m, c, add)
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if host.Ranged(old, now) || !slices.Equal(old.InternalIPs, now.InternalIPs) || !slices.Equal(old.ExternalIPs, now.ExternalIPs) || old.Options.Wire.Endpoint != now.Options.Wire.Endpoint ||
		(old.Options.Wire.Key == model.WireKey{}) != (now.Options.Wire.Key == model.WireKey{}) {
		add(model.Ref{Kind: model.KindSettings})
	}
}

// sameKey are the nodes that are known by a key of this one.
func sameKey(m *model.Model, n *model.Node, add func(model.Ref)) {
	for _, k := range []model.WireKey{n.Options.Wire.Key, n.Options.Wire.Also} {
		for name := range m.NodesWithKey(k) {
			add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
			nodeRoutes(m, m.Nodes[name], add)
		}
	}
}

// answering nodes are reached through the tunnel from now on, or no longer.
func wireAnswer(m *model.Model, c Change, add func(model.Ref)) {
	k, err := model.ParseWireKey(c.Ref.Name.Name)
	if err != nil {
		return
	}
	for name := range m.NodesWithKey(k) {
		add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
		nodeRoutes(m, m.Nodes[name], add)
	}
}

// wirePath are the nodes that teach a prefix, and did.
func wirePath(m *model.Model, c Change, add func(model.Ref)) {
	for _, o := range []model.Object{c.Old, c.New} {
		if p, ok := o.(*model.Path); ok && m.Settings.Encryption.On {
			for _, hop := range p.NextHops {
				for name := range m.NodesAt(hop) {
					add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
				}
			}
		}
	}
}
