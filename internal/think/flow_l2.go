package think

import (
	"maps"
	"slices"

	"kube-router/internal/model"
)

// answered is all that is answered for on links, when there is any advertisement and the change counts; nil: each does.
func answered(counts func(m *model.Model, c Change) bool) touch {
	return func(m *model.Model, c Change, add func(model.Ref)) {
		if len(m.L2) > 0 && (counts == nil || counts(m, c)) {
			add(Everything)
		}
	}
}

// localSlice tells whether a slice is of a Service that may bind its address to nodes with endpoints.
func localSlice(m *model.Model, c Change) bool {
	for _, o := range []model.Object{c.Old, c.New} {
		if slice, ok := o.(*model.Slice); ok {
			if s := m.Services[slice.Service]; s != nil && s.Type == model.LoadBalancer && (s.External == model.Local || s.Options.Local) {
				return true
			}
		}
	}
	return false
}

// eligible tells whether a Node may answer otherwise than before.
func eligible(_ *model.Model, c Change) bool {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	return old == nil || now == nil || old.NotReady != now.NotReady || old.Leaving != now.Leaving || old.ExcludeFromLB != now.ExcludeFromLB ||
		old.Unschedulable != now.Unschedulable || !maps.Equal(old.Labels, now.Labels) ||
		!slices.Equal(old.InternalIPs, now.InternalIPs) || !slices.Equal(old.ExternalIPs, now.ExternalIPs)
}

// peering is what BGPPeers and their passwords bear on: each other, sessions with routers, and those with nodes whose address a router has.
func peering(m *model.Model, c Change, add func(model.Ref)) {
	if c.Ref.Kind == model.KindBGPPeer {
		add(c.Ref)
	}
	add(model.Ref{Kind: model.KindSettings})
	at := func(p *model.BGPPeer) {
		for name := range m.NodesAt(p.Peer.Addr) {
			add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
		}
	}
	for _, o := range []model.Object{c.Old, c.New} {
		if p, ok := o.(*model.BGPPeer); ok {
			at(p)
		}
	}
	for _, p := range m.BGPPeers {
		switch o := c.Old.(type) {
		case *model.Keyring:
			add(p.Ref())
			at(p)
			continue
		case *model.BGPPeer:
			if o.Peer.Addr == p.Peer.Addr {
				add(p.Ref())
			}
		}
		switch o := c.New.(type) {
		case *model.Keyring:
			add(p.Ref())
			at(p)
		case *model.BGPPeer:
			if o.Peer.Addr == p.Peer.Addr {
				add(p.Ref())
			}
		}
	}
}

// selectable are the BGPPeers, which count the nodes that they select and of which one node tells the API, when a node comes, goes or changes in
// what that depends on.
func selectable(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if old != nil && now != nil && old.NotReady == now.NotReady && old.Leaving == now.Leaving && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for _, r := range slices.Concat(m.Refs(model.KindBGPPeer), m.Refs(model.KindBGPAd)) {
		add(r)
	}
}

// exporting is what a BGPPeer bears on besides sessions: BGPAdvertisements, which may be for it, and every address where something is kept from a router.
func exporting(m *model.Model, c Change, add func(model.Ref)) {
	for _, r := range m.Refs(model.KindBGPAd) {
		add(r)
	}
	old, _ := c.Old.(*model.BGPPeer)
	now, _ := c.New.(*model.BGPPeer)
	all := []*model.BGPPeer{old, now}
	for _, p := range m.BGPPeers { // of one address the eldest counts
		all = append(all, p)
	}
	if slices.ContainsFunc(all, func(p *model.BGPPeer) bool { return p != nil && len(p.Peer.Export) > 0 }) {
		add(Everything)
	}
}
