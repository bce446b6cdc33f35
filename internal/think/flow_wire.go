package think

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

// nodeWire are the nodes that another one bears on as a peer: those with its keys, its addresses or its ranges; and this node, where
// its ranges are to be guarded beside the cluster's or it is called by another family: that unit knows all nodes.
func nodeWire(m *model.Model, c Change, add func(model.Ref)) {
	ofNode(func(m *model.Model, n *model.Node, add func(model.Ref)) {
		nodeRoutes(m, n, add)
		sameKey(m, n, add)
	})(m, c, add)
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if outer(m, old) != outer(m, now) || !slices.Equal(beyond(m, old), beyond(m, now)) {
		add(model.Ref{Kind: model.KindSettings})
	}
}

// outer tells whether a node is called by another family than that of this node's primary address, which counts for the size of packets
// in any case.
func outer(m *model.Model, n *model.Node) bool {
	if n == nil || n.Options.Wire.Key == (model.WireKey{}) {
		return false
	}
	e := holder.WireEndpoint(m, n)
	return e.IsValid() && e.Addr().Is6() != m.Self().PrimaryIP().Is6()
}

// beyond are a node's ranges that are not guarded as parts of the cluster's, whoever has them.
func beyond(m *model.Model, n *model.Node) (list []netip.Prefix) {
	if n == nil {
		return nil
	}
	for _, p := range n.PodCIDRs {
		within := func(c netip.Prefix) bool { return c.Bits() <= p.Bits() && c.Contains(p.Addr()) }
		if !slices.ContainsFunc(m.Settings.Routes.ClusterCIDRs, within) {
			list = append(list, p)
		}
	}
	return list
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
