package stage

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/plan/egress"
	"kube-router/internal/plan/route"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/bgp"
	"kube-router/internal/render/linux"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// Gateways carry EgressGateways from the model to rows. Its units are the pods, and what stands for all of them. All of it runs in the thinking
// goroutine.
type Gateways struct {
	l      Ledgers
	tables egress.Tables
	as     map[model.Name][]intent.Leaver // of pods that leave from an address, as last planned
	here   map[netip.Addr]bool            // whether this node writes an address, as last planned

	stale bool                // what is watched may be other nodes now
	Watch func([]*model.Node) // is told whose silence counts; may be nil
	// Turned hears of addresses of pods whose flows may leave otherwise now, once the rows at keys stand. May be nil.
	Turned func(addrs []netip.Addr, keys []row.NftKey)
}

func newGateways(l Ledgers) *Gateways {
	return &Gateways{l: l, as: map[model.Name][]intent.Leaver{}, here: map[netip.Addr]bool{}}
}

func (g *Gateways) stage() think.Stage {
	return think.Stage{ID: think.Gateway, Units: g.units, Plan: g.plan}
}

func (g *Gateways) units(m *model.Model) []model.Ref {
	if !m.Settings.Gateways {
		return []model.Ref{baseUnit}
	}
	return append([]model.Ref{baseUnit}, m.Refs(model.KindPod)...)
}

func leaverOwner(pod model.Name) reconcile.Owner {
	return reconcile.Owner{Name: "leaves: " + model.Ref{Kind: model.KindPod, Name: pod}.String()}
}

func (g *Gateways) plan(m *model.Model, u model.Ref) []model.Remark {
	g.stale = true
	if u == baseUnit {
		return g.planBase(m)
	}
	now := g.tables.Pod(m, u.Name)
	var rows []row.Nft
	var keys []row.NftKey
	for _, l := range now {
		rows = append(rows, nft.Leaver(l)...)
	}
	old := g.as[u.Name]
	for _, l := range append(slices.Clone(old), now...) {
		keys = append(keys, nft.LeaverKey(l.Addr))
	}
	g.l.Nft.Claim(leaverOwner(u.Name), rows...)
	if len(now) > 0 {
		g.as[u.Name] = now
	} else {
		delete(g.as, u.Name)
	}
	if g.Turned != nil && !slices.Equal(old, now) {
		var addrs []netip.Addr
		for _, l := range append(slices.Clone(old), now...) {
			addrs = append(addrs, l.Addr)
		}
		g.Turned(addrs, keys)
	}
	return nil
}

// planBase plans the addresses. Flows of pods turn where this node begins or ceases to write their address: that is decided once in the life
// of a flow.
func (g *Gateways) planBase(m *model.Model) []model.Remark {
	owner := reconcile.Owner{Name: "gateways"}
	base := egress.Base(m)
	if base == nil {
		g.l.Nft.Claim(owner)
		g.l.Linux.Claim(owner)
		g.l.BGP.Claim(owner)
		clear(g.here)
		return nil
	}
	list, remarks := egress.Addresses(m, func(n *model.Node, f model.Family) (intent.Hop, string) { return route.Way(m, n, f) })
	rows := nft.Gateways(base, list)
	var ways []row.Linux
	here := map[netip.Addr]bool{}
	for _, l := range list {
		here[l.Addr] = l.Here
		ways = append(ways, linux.Leaving(l, nft.GatewayMarkOf(l.Slot), nft.GatewayMask, base.Here)...)
	}
	g.l.Nft.Claim(owner, rows...)
	g.l.Linux.Claim(owner, ways...)
	var announced []row.Bgp
	leaving := advert.Egress(m)
	for _, a := range leaving {
		announced = append(announced, bgp.Announce(a)...)
	}
	for _, w := range advert.Withheld(m, leaving) {
		announced = append(announced, bgp.Withheld(w))
	}
	g.l.BGP.Claim(owner, announced...)
	if !maps.Equal(here, g.here) {
		g.turn(here, rows)
	}
	g.here = here
	return remarks
}

// settle ends a turn: other nodes may count now. Who has no pod that leaves by a gateway, and is none, need not know who lives.
func (g *Gateways) settle(m *model.Model) {
	if !g.stale || g.Watch == nil {
		return
	}
	g.stale = false
	if len(g.as) == 0 {
		g.Watch(nil)
		return
	}
	claims, _ := holder.Egresses(m)
	g.Watch(holder.EgressWatch(m, claims))
}

// turn tells of the pods whose address this node begins or ceases to write.
func (g *Gateways) turn(here map[netip.Addr]bool, rows []row.Nft) {
	if g.Turned == nil {
		return
	}
	var addrs []netip.Addr
	for _, list := range g.as {
		for _, l := range list {
			if here[l.As] != g.here[l.As] {
				addrs = append(addrs, l.Addr)
			}
		}
	}
	if len(addrs) == 0 {
		return
	}
	keys := make([]row.NftKey, len(rows))
	for i, r := range rows {
		keys[i] = r.Key()
	}
	g.Turned(addrs, keys)
}

// decided tells whether an attached pod's way out of the cluster is decided, and the rows that must stand, or not stand, for it.
func (g *Gateways) decided(m *model.Model, a *model.Attachment) ([]row.NftKey, bool) {
	if !m.Settings.Gateways {
		return nil, true
	}
	o := m.Pods[a.Pod]
	if o == nil || m.Namespaces[a.Pod.Namespace] == nil || a.UID != "" && o.UID != a.UID {
		return nil, false
	}
	var keys []row.NftKey
	for _, addr := range a.Addrs {
		keys = append(keys, nft.LeaverKey(addr))
	}
	return keys, true
}

// Right tells of flows whether they leave the cluster as they would if they began now: by who began one, who answers, and the source that it
// has behind this node.
func (g *Gateways) Right(m *model.Model) func(from, to, source netip.Addr) bool {
	base := egress.Base(m)
	if base == nil {
		return func(netip.Addr, netip.Addr, netip.Addr) bool { return true }
	}
	as := map[netip.Addr]netip.Addr{}
	for _, list := range g.as {
		for _, l := range list {
			as[l.Addr] = l.As
		}
	}
	claims, _ := holder.Egresses(m)
	return func(from, to, source netip.Addr) bool {
		return egress.Inside(m, base, to) || leavesRight(base, from, to, source, as[from], claims, g.here)
	}
}

// leavesRight tells whether a flow from a pod has the source that it should have behind this node.
func leavesRight(b *intent.GatewayBase, from, to, source, as netip.Addr, claims []holder.EgressClaim, here map[netip.Addr]bool) bool {
	own := slices.ContainsFunc(b.Here, func(p netip.Prefix) bool { return p.Contains(from) })
	var of *holder.EgressClaim
	for i := range claims {
		if claims[i].Addr == source && source != as {
			return false // of a gateway that it no longer has
		}
		if claims[i].Addr == as {
			of = &claims[i]
		}
	}
	switch {
	case of == nil || slices.ContainsFunc(of.Gateway.Except, func(p netip.Prefix) bool { return p.Contains(to) }):
		return !own || !b.Hidden || source != from
	case own && !here[as]:
		return source == from
	}
	return source == as
}
