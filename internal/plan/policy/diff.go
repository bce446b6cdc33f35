package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Diff is what becomes otherwise for this node's pods from one model to another.
type Diff struct {
	Pods  []PodDiff
	Flows []FlowDiff
	Tried int // flows that were judged
	Left  int // pairs of ends that were not tried, since there were too many
}

// PodDiff is one direction of a pod of this node, whose tiers are others.
type PodDiff struct {
	Pod       model.Name
	Direction string // "ingress" or "egress"
	Rehearsal bool   // of its rehearsal; else what is enforced
	Now, Then string // what the tiers say; "open": there is none
}

// FlowDiff is a flow with a pod of this node at one end that passes in one of the models, and not in the other.
type FlowDiff struct {
	From, To string // pods by name, else addresses
	Flow     Flow
	Other    bool // the port stands for all that nothing names
	Passes   bool // afterwards
	Refused  End  // the end that refuses, in the model where one does
}

// mostTried bounds the flows that are judged for one answer.
const mostTried = 50_000

// Compare tells what is otherwise in another model with the same pods. It judges flows between the pods of this node whose tiers are
// others and all pods, and a few addresses that are none: at the ports of the servers, those that the policies there name, and one
// that nobody names. It walks the cluster, so it is for those who ask, beside the goroutine that thinks.
func Compare(now, then *model.Model) Diff {
	c := comparison{now: reading(now), then: reading(then), tried: map[Flow]bool{}}
	var local []model.Name
	for name, o := range now.Pods {
		if c.now.isLocal(o) {
			local = append(local, name)
		}
		if c.now.counts(o) {
			c.peers = append(c.peers, end{name.String(), o, c.now.addrs(o)})
		}
	}
	slices.SortFunc(local, model.Name.Compare)
	slices.SortFunc(c.peers, func(a, b end) int { return strings.Compare(a.name, b.name) })
	for _, name := range local {
		c.pod(now.Pods[name])
	}
	return c.Diff
}

// reading is a planner that only judges: it has policies, and plans nothing.
func reading(m *model.Model) *Planner {
	p := New(m)
	for _, o := range m.Policies {
		p.enlist(o)
	}
	for _, o := range m.Cluster {
		p.take(o)
	}
	return p
}

type comparison struct {
	Diff
	now, then *Planner
	peers     []end
	tried     map[Flow]bool
}

// end is somebody who talks.
type end struct {
	name  string
	pod   *model.Pod // nil: an address
	addrs []netip.Addr
}

func (c *comparison) pod(o *model.Pod) {
	var tiers [2]tiers
	for i, p := range []*Planner{c.now, c.then} {
		enforced, rehearse, _ := p.lists(o)
		tiers[i] = p.tiersBy(o, enforced, rehearse)
	}
	for i := range tiers[0] {
		d := intent.Direction(i % rehearsals)
		if slices.EqualFunc(tiers[0][i], tiers[1][i], func(a, b *intent.Tier) bool { return a.ID == b.ID }) {
			continue
		}
		c.Pods = append(c.Pods, PodDiff{o.Name, d.String(), i >= rehearsals, textOf(tiers[0][i]), textOf(tiers[1][i])})
		if i < rehearsals {
			c.flows(o, d)
		}
	}
}

func textOf(list []*intent.Tier) string {
	var words []string
	for _, t := range list {
		words = append(words, t.Text())
	}
	return cmp.Or(strings.Join(words, ", else "), "open")
}

// flows judges what goes to or comes from a pod.
func (c *comparison) flows(o *model.Pod, d intent.Direction) {
	own := end{o.Name.String(), o, c.now.addrs(o)}
	for _, other := range slices.Concat(c.peers, c.strangers(o)) {
		from, to := other, own
		if d == intent.FromPod {
			from, to = own, other
		}
		if from.name == to.name {
			continue
		}
		ports := c.ports(o, to.pod)
		for _, a := range from.addrs {
			for _, b := range to.addrs {
				if a.Is4() != b.Is4() {
					continue
				}
				if c.Tried+len(ports) > mostTried {
					c.Left++
					continue
				}
				for _, p := range ports {
					c.flow(from.name, to.name, Flow{From: a, To: b, Protocol: p.protocol, Port: p.port}, p.other)
				}
			}
		}
	}
}

func (c *comparison) flow(from, to string, f Flow, other bool) {
	if c.tried[f] {
		return // both ends have other tiers
	}
	c.tried[f] = true
	c.Tried++
	egress, ingress := c.now.Judge(f)
	egressThen, ingressThen := c.then.Judge(f)
	passes, will := egress.Allowed && ingress.Allowed, egressThen.Allowed && ingressThen.Allowed
	if passes == will {
		return
	}
	d := FlowDiff{From: from, To: to, Flow: f, Other: other, Passes: will}
	if !will {
		egress, ingress = egressThen, ingressThen
	}
	if d.Refused = egress; egress.Allowed {
		d.Refused = ingress
	}
	c.Flows = append(c.Flows, d)
}

// at is a port to try.
type at struct {
	protocol model.Protocol
	port     model.Port
	other    bool
}

// ports are those to try between a pod and a server, which may be no pod.
func (c *comparison) ports(o, server *model.Pod) []at {
	set := map[at]bool{}
	if server != nil {
		for _, p := range server.Ports {
			set[at{p.Protocol, p.Port, false}] = true
		}
	}
	c.mentions(o, func(ports []model.PolicyPort) {
		for _, p := range ports {
			if p.Port != 0 && p.Protocol != 0 {
				set[at{p.Protocol, p.Port, false}] = true
				set[at{p.Protocol, max(p.Port, p.EndPort), false}] = true
			}
		}
	}, func(netip.Prefix) {})
	for _, protocol := range []model.Protocol{model.TCP, model.UDP} {
		port := model.Port(50000)
		for set[at{protocol, port, false}] {
			port++
		}
		set[at{protocol, port, true}] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b at) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
	})
}

// strangers are addresses to try that are no pod's: one of each block that a policy names, and one of the documentation's.
func (c *comparison) strangers(o *model.Pod) []end {
	set := map[netip.Addr]bool{}
	add := func(a netip.Addr) {
		if c.now.Vacant(a) && c.now.model.Settings.Has(model.FamilyOf(a)) {
			set[a] = true
		}
	}
	add(netip.AddrFrom4([4]byte{192, 0, 2, 1}))
	add(netip.MustParseAddr("2001:db8::1"))
	c.mentions(o, func([]model.PolicyPort) {}, func(b netip.Prefix) {
		add(b.Masked().Addr())
		add(lastOf(b.Masked()))
	})
	var list []end
	for _, a := range slices.SortedFunc(maps.Keys(set), netip.Addr.Compare) {
		list = append(list, end{a.String(), nil, []netip.Addr{a}})
	}
	return list
}

// mentions visits the ports and blocks that policies of a pod name, in either model.
func (c *comparison) mentions(o *model.Pod, ports func([]model.PolicyPort), block func(netip.Prefix)) {
	for _, p := range []*Planner{c.now, c.then} {
		for _, one := range p.selecting(o) {
			if one.cluster != nil {
				for _, r := range slices.Concat(one.cluster.Ingress, one.cluster.Egress) {
					ports(r.Ports)
					for _, peer := range r.Peers {
						for _, n := range peer.Networks {
							block(n)
						}
					}
				}
				continue
			}
			for _, rules := range []*model.Rules{one.policy.Ingress, one.policy.Egress} {
				if rules == nil {
					continue
				}
				for _, r := range rules.Rules {
					ports(r.Ports)
					for _, peer := range r.Peers {
						if peer.Block.IsValid() {
							block(peer.Block)
						}
						for _, e := range peer.Except {
							block(e)
						}
					}
				}
			}
		}
	}
}
