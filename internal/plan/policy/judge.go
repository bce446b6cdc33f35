package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Flow is the beginning of a connection, after translation: from a client's own address to a pod's port.
type Flow struct {
	From, To netip.Addr
	Protocol model.Protocol
	Port     model.Port
}

// End is what one end's policies say about a flow.
type End struct {
	Direction string // "egress" of the client or "ingress" of the server
	Addr      netip.Addr
	Pod       model.Name   // zero: no pod of the cluster
	Node      string       // whose own end it is; empty: no node's
	Here      bool         // judged on this node
	Policies  []model.Name // NetworkPolicies that isolate it
	Allowed   bool
	By        model.Ref // the policy that decides, if one does; where none of Policies allows it, none
	Tier      string    // of By, if that is a ClusterNetworkPolicy
	Rule      string    // "spec.ingress[0]"
	Why       string    // in words, where no policy decided
}

// String prints one line.
func (e End) String() string {
	who := e.Addr.String()
	if e.Pod != (model.Name{}) {
		who = "pod " + e.Pod.String()
	} else if e.Node != "" {
		who = "node " + e.Node
	}
	verdict := "denied"
	if e.Allowed {
		verdict = "allowed"
	}
	text := fmt.Sprintf("%s of %s: %s", e.Direction, who, verdict)
	switch {
	case e.Why != "":
		return text + ": " + e.Why
	case e.Tier != "":
		return fmt.Sprintf("%s in tier %s by %s, %s", text, e.Tier, e.By, e.Rule)
	case e.Allowed:
		return fmt.Sprintf("%s by policy %s, %s", text, e.By.Name, e.Rule)
	}
	return fmt.Sprintf("%s: isolated by %s %v, and no rule matches", text, plural(len(e.Policies), "policy", "policies"), e.Policies)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Judge tells what both ends' policies say about a flow.
func (p *Planner) Judge(f Flow) (egress, ingress End) { return p.judge(f, false, false) }

// judge goes by what is enforced, or in a rehearsal by all; and by what flows may do that stand.
func (p *Planner) judge(f Flow, rehearsal, stands bool) (egress, ingress End) {
	from, to := p.podAt(f.From), p.podAt(f.To)
	if from != nil && from == to {
		self := End{Pod: from.Name, Here: p.isLocal(from), Allowed: true, Why: "a pod reaches itself"}
		egress, ingress = self, self
		egress.Direction, ingress.Direction = "egress", "ingress"
		egress.Addr, ingress.Addr = f.From, f.To
		return egress, ingress
	}
	egress = p.end("egress", f, f.From, from, f.To, to, rehearsal, stands)
	ingress = p.end("ingress", f, f.To, to, f.From, from, rehearsal, stands)
	p.hostEnds(&egress, &ingress, f, from, to, rehearsal)
	if from == nil && to != nil && p.isLocal(to) && p.ownAddr(f.From) {
		ingress.Allowed, ingress.By, ingress.Rule, ingress.Why = true, model.Ref{}, "", "a node reaches its own pods"
		ingress.Tier = ""
	}
	return egress, ingress
}

// Forbids tells whether this node's rules end a flow that stands. That the time of an address is over which a domain name stood for
// ends none.
func (p *Planner) Forbids(f Flow) bool {
	egress, ingress := p.judge(f, false, true)
	return egress.Here && !egress.Allowed || ingress.Here && !ingress.Allowed
}

// Vacant tells whether an address is no pod's.
func (p *Planner) Vacant(a netip.Addr) bool { return p.podAt(a) == nil }

// end judges one end: addr with its pod, against the peer at the other.
func (p *Planner) end(direction string, f Flow, addr netip.Addr, pod *model.Pod, other netip.Addr, peer *model.Pod, rehearsal, stands bool) End {
	e := End{Direction: direction, Addr: addr, Allowed: true, Why: "no pod, so no policy is about it"}
	if pod == nil {
		return e
	}
	e.Pod, e.Here, e.Why = pod.Name, p.isLocal(pod), "no policy isolates it"
	j := judgement{planner: p, end: &e, direction: direction, flow: f, addr: other, peer: peer, server: pod, stands: stands}
	if direction == "egress" {
		j.server = peer
	}
	policies, matching := p.selecting(pod), p.matching(pod)
	if !rehearsal {
		policies, matching = p.enforced(policies), p.enforced(matching)
	}
	_, j.beyond = p.limited(matching)
	if !j.tier(intent.AdminLevel, policies) && !j.network(policies) {
		j.tier(intent.BaselineLevel, policies)
	}
	return e
}

// judgement is one end's policies going through a flow.
type judgement struct {
	planner   *Planner
	end       *End
	direction string
	flow      Flow
	addr      netip.Addr  // at the other end
	peer      *model.Pod  // there; may be nil
	server    *model.Pod  // whose ports have names; may be nil
	stands    bool        // the flow has begun long ago
	beyond    []*compiled // policies that are too many for the pod, and accept nothing
	safe      bool        // a fail-safe of nodes: only what closes them denies it
}

// tier asks the ClusterNetworkPolicies of a tier; it tells whether one of them decides.
func (j *judgement) tier(l intent.Level, policies []*compiled) bool {
	for _, c := range policies {
		if c.level() != l {
			continue
		}
		rules := c.cluster.Ingress
		if j.direction == "egress" {
			rules = c.cluster.Egress
		}
		for i := range rules {
			r := &rules[i]
			if !j.planner.clusterPeerMatches(r, j.addr, j.peer, j.stands) || !portMatches(r.Ports, r.AnyPort, j.flow, j.server) {
				continue
			}
			if j.safe && r.Action == model.Deny && !c.closes {
				continue
			}
			if r.Action == model.Pass {
				return false
			}
			j.end.By, j.end.Tier, j.end.Rule = c.ref, c.cluster.Tier.String(), fmt.Sprintf("spec.%s[%d]", j.direction, i)
			if r.Name != "" {
				j.end.Rule += fmt.Sprintf(" (%q)", r.Name)
			}
			j.end.Allowed, j.end.Why = r.Action == model.Accept, ""
			return true
		}
	}
	return false
}

// network asks the NetworkPolicies; it tells whether any isolates the pod, for then they decide.
func (j *judgement) network(policies []*compiled) bool {
	e := j.end
	for _, c := range policies {
		if c.policy == nil {
			continue
		}
		rules := c.policy.Ingress
		if j.direction == "egress" {
			rules = c.policy.Egress
		}
		if rules == nil {
			continue
		}
		e.Policies = append(e.Policies, c.policy.Name)
		for i := range rules.Rules {
			if r := &rules.Rules[i]; e.By == (model.Ref{}) && !slices.Contains(j.beyond, c) && j.planner.peerMatches(c.policy, r, j.addr, j.peer) &&
				portMatches(r.Ports, r.AnyPort, j.flow, j.server) {
				e.By, e.Rule = c.ref, fmt.Sprintf("spec.%s[%d]", j.direction, i)
			}
		}
	}
	if len(e.Policies) == 0 {
		return false
	}
	e.Allowed, e.Why = e.By != (model.Ref{}), ""
	return true
}

func (p *Planner) clusterPeerMatches(r *model.ClusterRule, addr netip.Addr, pod *model.Pod, stands bool) bool {
	for i := range r.Peers {
		peer := &r.Peers[i]
		switch {
		case peer.All:
			return true
		case peer.Pods != nil:
			if pod != nil && podSelection(peer.Pods).has(pod.Name.Namespace, p.model.Namespaces[pod.Name.Namespace], pod.Labels) {
				return true
			}
		case peer.Nodes != nil:
			if p.nodeAt(peer.Nodes, addr) {
				return true
			}
		case peer.Names != nil:
			if p.domains.named(p.model, peer.Names, addr, stands) {
				return true
			}
		case slices.ContainsFunc(peer.Networks, func(n netip.Prefix) bool { return n.Contains(addr) }):
			return true
		}
	}
	return false
}

// nodeAt tells whether a node that a selector selects has an address.
func (p *Planner) nodeAt(s *model.Selector, a netip.Addr) bool {
	for name := range p.model.NodesAt(a) {
		if o := p.model.Nodes[name]; o != nil && selects(s, o.Labels) && slices.Contains(slices.Concat(o.InternalIPs, o.ExternalIPs), a) {
			return true
		}
	}
	return false
}

func (p *Planner) peerMatches(policy *model.Policy, r *model.Rule, addr netip.Addr, pod *model.Pod) bool {
	for i := range r.Peers {
		peer := &r.Peers[i]
		if peer.Block.IsValid() {
			out := func(e netip.Prefix) bool { return e.Contains(addr) }
			if peer.Block.Contains(addr) && !slices.ContainsFunc(peer.Except, out) {
				return true
			}
			continue
		}
		if pod != nil && peerSelection(policy, peer).has(pod.Name.Namespace, p.model.Namespaces[pod.Name.Namespace], pod.Labels) {
			return true
		}
	}
	return r.AnyPeer
}

func portMatches(ports []model.PolicyPort, any bool, f Flow, server *model.Pod) bool {
	for _, p := range ports {
		switch {
		case p.Protocol != f.Protocol && (p.Protocol != 0 || p.PortName == ""):
		case p.PortName != "":
			named := model.PodPort{Name: p.PortName, Protocol: f.Protocol, Port: f.Port}
			if server != nil && slices.Contains(server.Ports, named) {
				return true
			}
		case p.Port == 0 || p.Port <= f.Port && f.Port <= max(p.Port, p.EndPort):
			return true
		}
	}
	return any
}

// podAt is the pod that has an address, or nil.
func (p *Planner) podAt(a netip.Addr) *model.Pod {
	for _, at := range p.model.Attached {
		if o := p.model.Pods[at.Pod]; o != nil && lives(at, o) && p.counts(o) && slices.Contains(at.Addrs, a) {
			return o
		}
	}
	var best *model.Pod
	for _, o := range p.model.PodsAt(a) {
		if p.counts(o) && slices.Contains(p.addrs(o), a) && (best == nil || o.Name.Compare(best.Name) < 0) {
			best = o
		}
	}
	return best
}

// ownAddr tells whether an address is this node's: of a link or of the Node, or in the pod ranges but no
// pod's, as the bridge's is.
func (p *Planner) ownAddr(a netip.Addr) bool {
	if p.model.LinkWith(a) != nil {
		return true
	}
	self := p.model.Self()
	if self == nil {
		return false
	}
	in := func(c netip.Prefix) bool { return c.Contains(a) }
	return slices.Contains(self.InternalIPs, a) || slices.Contains(self.ExternalIPs, a) || slices.ContainsFunc(self.PodCIDRs, in)
}

// Pod finds a pod by address or by name ("namespace/name", or the name alone in namespace default), with
// its addresses. A node's name has the node's addresses, and no pod.
func (p *Planner) Pod(text string) (model.Name, []netip.Addr) {
	if a, err := netip.ParseAddr(text); err == nil {
		if o := p.podAt(a.Unmap()); o != nil {
			return o.Name, []netip.Addr{a.Unmap()}
		}
		return model.Name{}, []netip.Addr{a.Unmap()}
	}
	for _, name := range []model.Name{split(text), {Namespace: "default", Name: text}} {
		if o := p.model.Pods[name]; o != nil {
			return name, p.addrs(o)
		}
	}
	if o := p.model.Nodes[text]; o != nil {
		return model.Name{}, slices.Concat(o.InternalIPs, o.ExternalIPs)
	}
	return model.Name{}, nil
}

func split(text string) model.Name {
	for i := range text {
		if text[i] == '/' {
			return model.Name{Namespace: text[:i], Name: text[i+1:]}
		}
	}
	return model.Name{Name: text}
}
