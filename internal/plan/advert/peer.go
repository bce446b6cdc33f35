package advert

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// peerOf is what a BGPPeer says of a router, with its password, or why nobody has a session with it.
func peerOf(m *model.Model, o *model.BGPPeer) (model.Peer, string) {
	p := o.Peer
	if o.Broken != "" {
		return p, o.Broken
	}
	if o.Key != "" {
		secret, ok := m.Password(o.Key)
		if !ok {
			return p, "Secret " + model.KeyringName + " in the daemon's namespace has no password " + o.Key + " that can be used or read"
		}
		p.Password = secret
	}
	return p, ""
}

// From is who speaks of a router with an address: "BGPPeer tor1", or the flag or annotation; empty: nobody.
func From(m *model.Model, a netip.Addr) string {
	self := m.Self()
	if self == nil {
		return ""
	}
	for _, o := range m.BGPPeersByAge() {
		if o.Peer.Addr == a && o.Nodes.Matches(self.Labels) {
			return o.Ref().String()
		}
	}
	is := func(p model.Peer) bool { return p.Addr == a }
	list, field := outside(m, self)
	if slices.ContainsFunc(list, is) {
		return field
	}
	return ""
}

// outside are the routers of flags or, where there are none, of the node's annotations, with the name of that.
func outside(m *model.Model, self *model.Node) ([]model.Peer, string) {
	if list := m.Settings.BGP.Peers; len(list) > 0 {
		return list, "--peer-router-ips"
	}
	return self.Options.Peers, "kube-router.io/peers"
}

// Peer judges a BGPPeer as every node sees it. Of all nodes one tells the API.
func Peer(m *model.Model, name string) ([]intent.Verdict, []model.Remark) {
	o, self := m.BGPPeers[name], m.Self()
	if o == nil || self == nil || !m.Settings.Router {
		return nil, nil
	}
	note := remarks{object: o.Ref()}
	v := intent.Verdict{Kind: string(model.KindBGPPeer), Name: o.Name, Generation: o.Generation}
	_, why := peerOf(m, o)
	if why != "" && o.Broken == "" {
		note.add("spec.authentication.secretKey", "no session: %s", why)
	}
	if why != "" {
		v.Reason, v.Why = "NoSession", why
	}
	for _, n := range m.Nodes {
		if o.Nodes.Matches(n.Labels) {
			v.Nodes++
		}
	}
	if v.Nodes == 0 && v.Why == "" {
		v.Reason, v.Why = "NoNode", "its nodeSelector selects no node"
	}
	if older := rival(m, o); older != nil {
		why := o.Peer.Addr.String() + " is as " + older.Ref().String() + " says, which is older, on nodes that both select"
		note.add("spec.address", "%s", why)
		v.Reason, v.Why = "Doubled", why
	}
	if !holder.Speaks(m, self.Name, o.Ref()) {
		return nil, note.list
	}
	return []intent.Verdict{v}, note.list
}

// rival is an older BGPPeer of the same address that selects a node which this one selects too, or nil.
func rival(m *model.Model, o *model.BGPPeer) *model.BGPPeer {
	for _, other := range m.BGPPeers {
		if other.Peer.Addr != o.Peer.Addr || !o.Peer.Addr.IsValid() || other.Older(o) >= 0 {
			continue
		}
		for _, n := range m.Nodes {
			if o.Nodes.Matches(n.Labels) && other.Nodes.Matches(n.Labels) {
				return other
			}
		}
	}
	return nil
}
