package policy

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// hostAt is the node that an address is of: this one by its links and its Node, others by theirs. "" and false: none.
func (p *Planner) hostAt(a netip.Addr) (string, bool) {
	if p.OwnAddr(a) {
		return p.model.Settings.Node, true
	}
	for name, o := range p.model.NodesAt(a) {
		if slices.Contains(slices.Concat(o.InternalIPs, o.ExternalIPs), a) {
			return name, true
		}
	}
	return "", false
}

// OwnAddr tells whether an address is of this node itself, and not of a pod.
func (p *Planner) OwnAddr(a netip.Addr) bool {
	self := p.model.Self()
	return p.model.LinkWith(a) != nil || self != nil && (slices.Contains(self.InternalIPs, a) || slices.Contains(self.ExternalIPs, a)) ||
		a.IsLoopback() || slices.ContainsFunc(p.ownRanges(), func(r netip.Prefix) bool { return r.Masked().Addr().Next() == a })
}

// hostEnd judges the end of a flow that is a node.
func (p *Planner) hostEnd(e *End, name string, f Flow, other netip.Addr, peer *model.Pod, rehearsal bool) {
	e.Node, e.Here = name, name == p.model.Settings.Node
	policies := p.governing(p.model.Nodes[name])
	if !rehearsal {
		policies = slices.DeleteFunc(policies, audited)
	}
	if len(policies) == 0 {
		return
	}
	d := intent.ToPod
	if e.Direction == "egress" {
		d = intent.FromPod
	}
	e.Why = "no rule of a NodePolicy is about it"
	j := judgement{planner: p, end: e, direction: e.Direction, flow: f, addr: other, peer: peer}
	own := e.Here && d == intent.FromPod && slices.ContainsFunc(p.ownRanges(), func(r netip.Prefix) bool { return r.Contains(other) })
	if isSafe(safes(p.model, d), f) || own {
		j.safe = true
		e.Why = "a fail-safe of nodes, which no policy closes"
	}
	if !j.tier(intent.AdminLevel, policies) {
		j.tier(intent.BaselineLevel, policies)
	}
}

// hostEnds judges the ends of a flow that are nodes. What a node sends to itself is nobody's business.
func (p *Planner) hostEnds(egress, ingress *End, f Flow, from, to *model.Pod, rehearsal bool) {
	if len(p.hosts) == 0 {
		return
	}
	at := func(a netip.Addr, pod *model.Pod) string {
		if pod != nil {
			return ""
		}
		name, _ := p.hostAt(a)
		return name
	}
	sender, receiver := at(f.From, from), at(f.To, to)
	if sender != "" && sender == receiver {
		return
	}
	if sender != "" {
		p.hostEnd(egress, sender, f, f.To, to, rehearsal)
	}
	if receiver != "" {
		p.hostEnd(ingress, receiver, f, f.From, from, rehearsal)
	}
}
