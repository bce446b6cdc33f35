package policy

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// NodePolicies judge the node itself in the words of ClusterNetworkPolicies, and look into the same sets of peers. What a node can't be
// reached or live without is judged apart: there the denials of policies that don't close fail-safes are left out.

// KindHost is the kind of the unit that is this node's own rules.
const KindHost model.Kind = "HostRules"

func hostRef() model.Ref { return model.Ref{Kind: KindHost} }

// host is what is known of this node as a subject.
type host struct {
	policies []*compiled // that select it, enforced and audited ones, as they judge
	leaving  []*compiled // that did before: their sets stay until the tiers are made without them
	waits    bool        // the tiers are made once new sets have their members
	found    uint64      // the serial when policies were looked for
	wall     *intent.HostWall
}

func compileNode(o *model.NodePolicy) *compiled {
	c := compileCluster(&o.ClusterPolicy)
	c.ref, c.closes, c.nodes = o.Ref(), o.Closes, &o.Nodes
	return c
}

// takeNode takes a NodePolicy into the index.
func (p *Planner) takeNode(o *model.NodePolicy) *compiled {
	c := p.numbered(compileNode(o))
	p.hosts[o.Name] = c
	if c.denies() {
		p.denying++
	}
	return c
}

// noteHost keeps the index after a NodePolicy changed.
func (p *Planner) noteHost(name string, add func(model.Ref)) {
	if old := p.hosts[name]; old != nil {
		if delete(p.hosts, name); old.denies() {
			p.denying--
		}
	}
	if o := p.model.NodeRules[name]; o != nil {
		p.takeNode(o)
	}
	p.serial++
	add(hostRef())
}

// noteSelf plans the node's rules anew where a Node or a Service changed that they may depend on.
func (p *Planner) noteSelf(old, new model.Object, add func(model.Ref)) {
	if len(p.hosts) == 0 {
		return
	}
	port := func(o model.Object) (n model.Port) {
		if s, ok := o.(*model.Service); ok && s != nil {
			n = s.HealthPort
		}
		return n
	}
	wires := func(o model.Object) (n model.NodeWire) {
		if s, ok := o.(*model.Node); ok && s != nil {
			n = s.Options.Wire
		}
		return n
	}
	self := false
	for _, o := range []model.Object{old, new} {
		n, ok := o.(*model.Node)
		self = self || ok && n.Name == p.model.Settings.Node
	}
	a, b := wires(old), wires(new)
	if self || port(old) != port(new) || a.Port != b.Port || a.Endpoint != b.Endpoint {
		p.serial++
		add(hostRef())
	}
}

// governing are the NodePolicies about a node, in the order in which they judge.
func (p *Planner) governing(n *model.Node) (list []*compiled) {
	if n == nil {
		return nil
	}
	for _, c := range p.hosts {
		if selects(c.nodes, n.Labels) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, compareNames)
	return list
}

// findHost looks for this node's policies, and gives the sets that are needed now and weren't.
func (p *Planner) findHost() (fresh []*set) {
	h := &p.host
	h.found = p.serial
	now := p.governing(p.model.Self())
	if slices.Equal(now, h.policies) {
		return nil
	}
	for _, c := range now {
		if c.targets++; c.targets == 1 {
			fresh = append(fresh, p.acquire(c)...)
		}
	}
	h.leaving = append(h.leaving, h.policies...)
	h.policies = now
	return fresh
}

// DecideHost makes this node's own rules anew, as Decide does those of a pod.
func (p *Planner) DecideHost(add func(model.Ref)) bool {
	h := &p.host
	if !h.waits {
		if fresh := p.findHost(); p.fill(fresh, add) {
			h.waits = true
			add(hostRef())
			return false
		}
	}
	if h.waits && h.found != p.serial {
		add(hostRef())
	}
	h.waits = false
	h.wall = p.wallOf(h.policies)
	leaving := h.leaving
	h.leaving = nil
	for _, c := range leaving {
		if c.targets--; c.targets == 0 {
			p.release(c, add)
		}
	}
	return true
}

// Host is what guards this node; nil: nothing.
func (p *Planner) Host() *intent.HostWall { return p.host.wall }

func (p *Planner) wallOf(policies []*compiled) *intent.HostWall {
	if len(policies) == 0 {
		return nil
	}
	w := &intent.HostWall{Node: p.model.Settings.Node}
	enforced := slices.DeleteFunc(slices.Clone(policies), audited)
	judged := false
	for _, d := range []intent.Direction{intent.ToPod, intent.FromPod} {
		w.Tiers[d] = hostTiers(d, enforced, intent.AtHost, false)
		w.Closed[d] = hostTiers(d, enforced, intent.AtSafes, false)
		if rehearsed(d, policies) {
			w.Rehearsal[d] = hostTiers(d, policies, intent.AtHost, true)
			w.RehearsedClosed[d] = hostTiers(d, policies, intent.AtSafes, true)
		}
		if len(w.Tiers[d]) > 0 || len(w.Rehearsal[d]) > 0 {
			w.Safes[d] = safes(p.model, d)
			judged = true
		}
	}
	for _, c := range p.ownRanges() {
		w.Own = append(w.Own, intent.Span{First: c.Masked().Addr(), Last: lastOf(c.Masked())})
	}
	if !judged {
		return nil
	}
	return w
}

// hostTiers are the tiers of policies in one direction. At fail-safes only what closes them denies; without that there is nothing to judge.
func hostTiers(d intent.Direction, policies []*compiled, at intent.Place, rehearsal bool) (list []*intent.Tier) {
	closes := func(c *compiled) bool {
		return c.closes && slices.ContainsFunc(c.rules[d], func(o ordered) bool { return o.action == intent.Deny })
	}
	if at == intent.AtSafes && !slices.ContainsFunc(policies, closes) {
		return nil
	}
	for _, l := range []intent.Level{intent.AdminLevel, intent.BaselineLevel} {
		var rules []intent.Rule
		for _, c := range policies {
			if c.level() != l {
				continue
			}
			for i := range c.rules[d] {
				if o := &c.rules[d][i]; at != intent.AtSafes || c.closes || o.action != intent.Deny {
					rules = append(rules, intent.Rule{Action: o.action, Source: o.source, Matches: o.matches})
				}
			}
		}
		if len(rules) > 0 {
			list = append(list, intent.NewTier(l, d, rules).OnHost(at, rehearsal))
		}
	}
	return list
}

// ownRanges are those of this node's pods.
func (p *Planner) ownRanges() []netip.Prefix {
	if self := p.model.Self(); self != nil {
		return self.PodCIDRs
	}
	return nil
}
