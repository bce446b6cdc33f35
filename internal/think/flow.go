package think

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
)

// touch tells which units of a stage a change makes us plan anew.
type touch func(m *model.Model, c Change, add func(model.Ref))

// touched is an entry of the change table.
type touched struct {
	what string // which units those are, for people: ARCHITECTURE.md is made of it
	find touch  // nil: the stage keeps an index of its own, which tells (Stage.Note)
}

// flow is the architecture on one screen: what changed, and for each stage what that touches. A kind that is not in it
// changes nothing, and a stage that is not in it is planned once: a test asks for all of both.
var flow = map[model.Kind]map[ID]touched{
	model.KindService: {
		Services: {"that one, who claims the same frontends", contenders},
		Policy:   {"whose answers count, when it is the cluster's DNS; what guards this node, by its port of health checks", nil},
		Advert:   {"the same, who shares its addresses", both(contenders, swayed)},
		Balancer: {"all: they compete", whole},
		L2:       {"all, where nodes answer on links", answered(nil)},
		Guard:    {"pods that answer for it by DSR", answering},
		Gateway:  {"all, when it has an address that a gateway names", leavingService},
	},
	model.KindSlice: {
		Services: {"its Service", itsService},
		Policy:   {"whose answers count, when its Service is the cluster's DNS", nil},
		Advert:   {"its Service, who shares its addresses", both(itsService, itsSharers)},
		Guard:    {"pods that answer for its Service by DSR", answering},
		L2:       {"all, when its Service is bound to nodes", answered(localSlice)},
	},
	model.KindPod: {
		Services: {"its Services (ipvs)", podServices},
		Policy:   {"that one, and the sets that it enters or leaves; domain names that stand for it", nil},
		Guard:    {"its ports (ipvs)", podPorts},
		Gateway:  {"that one, who names its addresses", leavers},
		Socket:   {"its network namespaces", podSockets},
	},
	model.KindNamespace: {
		Policy:   {"its pods, where selectors see it otherwise now; their tiers", nil},
		Guard:    {"its pods' ports, when it frees them", freed},
		Balancer: {"all, when pools select by its labels", relabelled},
		Gateway:  {"its pods, when its labels are others", leavingNamespace},
		Socket:   {"its pods' network namespaces, when its annotation is another", namespaceSockets},
	},
	model.KindClusterPolicy: {
		Policy: {"the pods here that it selects or selected", nil},
		Report: {"that one", itself},
	},
	model.KindNodePolicy: {
		Policy: {"what guards this node", nil},
	},
	model.KindDomain: {
		Policy: {"the sets that it is in", nil},
	},
	model.KindPolicy: {
		Policy: {"the pods that it selects or selected", nil},
	},
	model.KindAttachment: {
		Policy:  {"its pod, who names its addresses", nil},
		Guard:   {"that port", itself},
		Gateway: {"its pod, who names its addresses", leavers},
		Socket:  {"that network namespace", itself},
	},
	model.KindNode: {
		Services: {"self: all; other: frontends at its addresses and in its ranges", both(ifSelf(whole), nodeClaims)},
		L2:       {"all, when it may answer otherwise than before", answered(eligible)},
		Policy:   {"what is exempt from policy; the sets of nodes that it is in; domain names that stand for it; what guards this node", nil},
		Host:     {"self: all", ifSelf(whole)},
		Engine:   {"self: all; other: frontends at its addresses", ifSelf(whole)},
		Forward:  {"all, when its ranges are others", ranged},
		Route:    {"self: all; other: that one, paths through it, who claims the same ranges or key", both(ofNode(nodeRoutes), ofNode(sameKey))},
		Advert:   {"self: all; other: its session, Services in its ranges; all, when it is cordoned; BGPPeers and BGPAdvertisements, when its labels are others", both(both(both(ofNode(nodeAdverts), nodeDrained), nodeClaims), selectable)},
		Egress:   {"self: all; other: its exemptions from masquerade", ofNode(nodeEgress)},
		Wire:     {"self: all; other: that one, who claims the same ranges or key, what must not be in clear", nodeWire},
		Gateway:  {"addresses to leave from; self: all, when its labels are others", leavingNode},
		Report:   {"what is told of all; each, when it lacks others or another node tells", reporting},
	},
	model.KindLink: {
		Services: {"all (rare)", whole},
		Policy:   {"what is exempt from policy", nil},
		Route:    {"all", whole},
		Host:     {"all", whole},
		Engine:   {"all", whole},
		Advert:   {"all sessions", nodesAndSelf},
		Wire:     {"all", whole},
		Gateway:  {"addresses to leave from", gatewayBase},
		L2:       {"all", answered(nil)},
	},
	model.KindL2:      {L2: {"all", whole}},
	model.KindBGPPeer: {Advert: {"that one, those of its address, all sessions with routers, BGPAdvertisements; all, where one has an export filter", both(peering, exporting)}, Gateway: {"addresses to leave from", gatewayBase}},
	model.KindBGPAd: {
		Advert: {"all (rare)", whole},
		Egress: {"all (rare)", whole},
	},
	model.KindKeyring: {Advert: {"BGPPeers, all sessions with routers", peering}},
	model.KindPool: {
		Balancer: {"all: they compete", whole},
		Services: {"all (rare)", whole},
		Policy:   {"what is exempt from policy", nil},
		Advert:   {"all (rare)", whole},
		Egress:   {"all (rare)", whole},
		Gateway:  {"all (rare)", whole},
		L2:       {"all", answered(nil)},
	},
	model.KindPath:      {Route: {"that prefix, and who teaches it", both(itself, wirePath)}, Wire: {"who teaches it", wirePath}},
	model.KindIdentity:  {Route: {"all", whole}, Wire: {"all", whole}},
	model.KindAnswer:    {Route: {"who has that key", wireAnswer}, Wire: {"who has that key", wireAnswer}},
	model.KindEgress:    {Gateway: {"all (rare)", whole}},
	model.KindSilence:   {Gateway: {"addresses to leave from", gatewayBase}, L2: {"all", answered(nil)}},
	model.KindOverflow:  {Advert: {"that peer", itself}},
	model.KindForeign:   {Forward: {"what chains of others are told", whole}},
	model.KindLack:      {Services: {"Services that ask for it", scheduled}},
	model.KindUnwritten: {Report: {"what this node lacks", gatewayBase}},
	model.KindSettings:  {}, // another daemon's: they don't change while one runs
}

// scheduled are the Services that ask for a scheduler.
func scheduled(m *model.Model, c Change, add func(model.Ref)) {
	for _, s := range m.Services {
		if s.Options.Scheduler == c.Ref.Name.Name {
			add(s.Ref())
		}
	}
}

// itself is the unit that is the changed object.
func itself(_ *model.Model, c Change, add func(model.Ref)) { add(c.Ref) }

// whole is every unit of the stage.
func whole(_ *model.Model, _ Change, add func(model.Ref)) { add(Everything) }

// ranged is every unit of the stage where a Node's pod ranges are others now.
func ranged(_ *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if host.Ranged(old, now) {
		add(Everything)
	}
}

// nodesAndSelf are the node itself and every node: whether one is in a subnet of ours counts for its session, and for
// what routers may teach.
func nodesAndSelf(m *model.Model, _ Change, add func(model.Ref)) {
	for name := range m.Nodes {
		add(model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}})
	}
	add(model.Ref{Kind: model.KindSettings})
}

// itsService is the Service that a slice belongs to, and the one that it belonged to before.
func itsService(_ *model.Model, c Change, add func(model.Ref)) {
	for _, o := range []model.Object{c.Old, c.New} {
		if s, ok := o.(*model.Slice); ok && s.Service.Name != "" {
			add(model.Ref{Kind: model.KindService, Name: s.Service})
		}
	}
}

// podServices are the Services that a pod answers for, where something counts that its slices don't tell: how
// long it may take to go, whether it has a network of its own, whether a Service's selector has it, and whether it has an
// endpoint's address that another pod has too. All but its weight the ipvs engine alone asks for.
func podServices(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Pod)
	now, _ := c.New.(*model.Pod)
	if !m.Settings.Services.Engine.Can().AsksPods {
		if weightOf(old) != weightOf(now) {
			for _, s := range m.SlicesTo(c.Ref.Name) {
				add(model.Ref{Kind: model.KindService, Name: s.Service})
			}
		}
		return
	}
	if old != nil && now != nil && old.Grace == now.Grace && old.HostNetwork == now.HostNetwork && old.Finished == now.Finished &&
		slices.Equal(old.Addrs, now.Addrs) && maps.Equal(old.Labels, now.Labels) && old.Weight == now.Weight {
		return
	}
	for _, s := range m.SlicesTo(c.Ref.Name) {
		add(model.Ref{Kind: model.KindService, Name: s.Service})
	}
	for _, o := range []model.Object{c.Old, c.New} {
		if p, ok := o.(*model.Pod); ok {
			for _, a := range p.Addrs {
				pointed(m, a, add)
			}
		}
	}
}

func weightOf(p *model.Pod) uint16 {
	if p == nil {
		return 0
	}
	return p.Weight
}

// ifSelf narrows a touch to changes of the Node that we run on.
func ifSelf(f touch) touch {
	return func(m *model.Model, c Change, add func(model.Ref)) {
		if c.Ref.Name.Name == m.Settings.Node {
			f(m, c, add)
		}
	}
}

// ofNode touches everything when our own Node changed, else the node itself and what f finds for the node as it was
// and as it is.
func ofNode(f func(m *model.Model, n *model.Node, add func(model.Ref))) touch {
	return func(m *model.Model, c Change, add func(model.Ref)) {
		add(c.Ref)
		if c.Ref.Name.Name == m.Settings.Node {
			add(Everything)
			return
		}
		for _, o := range []model.Object{c.Old, c.New} {
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
func nodeDrained(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if old != nil && now != nil && holder.Drained(m, old) != holder.Drained(m, now) {
		add(Everything)
	}
}

// both touches what either does.
func both(f, g touch) touch {
	return func(m *model.Model, c Change, add func(model.Ref)) {
		f(m, c, add)
		g(m, c, add)
	}
}
