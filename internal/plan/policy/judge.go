package policy

import (
	"fmt"
	"net/netip"
	"slices"

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
	Here      bool         // judged on this node
	Policies  []model.Name // that isolate it
	Allowed   bool
	By        model.Name // the policy that allows it, if one must
	Rule      string     // "spec.ingress[0]"
	Why       string     // in words, where no policy decided
}

// String prints one line.
func (e End) String() string {
	who := e.Addr.String()
	if e.Pod != (model.Name{}) {
		who = "pod " + e.Pod.String()
	}
	verdict := "denied"
	if e.Allowed {
		verdict = "allowed"
	}
	text := fmt.Sprintf("%s of %s: %s", e.Direction, who, verdict)
	switch {
	case e.Why != "":
		return text + ": " + e.Why
	case e.Allowed:
		return fmt.Sprintf("%s by policy %s, %s", text, e.By, e.Rule)
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
func (p *Planner) Judge(f Flow) (egress, ingress End) {
	from, to := p.podAt(f.From), p.podAt(f.To)
	if from != nil && from == to {
		self := End{Pod: from.Name, Here: p.isLocal(from), Allowed: true, Why: "a pod reaches itself"}
		egress, ingress = self, self
		egress.Direction, ingress.Direction = "egress", "ingress"
		egress.Addr, ingress.Addr = f.From, f.To
		return egress, ingress
	}
	egress = p.end("egress", f, f.From, from, f.To, to)
	ingress = p.end("ingress", f, f.To, to, f.From, from)
	if from == nil && to != nil && p.isLocal(to) && p.ownAddr(f.From) {
		ingress.Allowed, ingress.By, ingress.Rule, ingress.Why = true, model.Name{}, "", "a node reaches its own pods"
	}
	return egress, ingress
}

// Forbids tells whether this node's rules end a flow.
func (p *Planner) Forbids(f Flow) bool {
	egress, ingress := p.Judge(f)
	return egress.Here && !egress.Allowed || ingress.Here && !ingress.Allowed
}

// Vacant tells whether an address is no pod's.
func (p *Planner) Vacant(a netip.Addr) bool { return p.podAt(a) == nil }

// end judges one end: addr with its pod, against the peer at the other.
func (p *Planner) end(direction string, f Flow, addr netip.Addr, pod *model.Pod, other netip.Addr, peer *model.Pod) End {
	e := End{Direction: direction, Addr: addr, Allowed: true, Why: "no pod, so no policy is about it"}
	if pod == nil {
		return e
	}
	e.Pod, e.Here, e.Why = pod.Name, p.isLocal(pod), "no policy isolates it"
	server := pod
	if direction == "egress" {
		server = peer
	}
	_, beyond := p.limited(p.matching(pod))
	for _, c := range p.selecting(pod) {
		rules := c.policy.Ingress
		if direction == "egress" {
			rules = c.policy.Egress
		}
		if rules == nil {
			continue
		}
		e.Policies = append(e.Policies, c.policy.Name)
		for i := range rules.Rules {
			if r := &rules.Rules[i]; e.By == (model.Name{}) && !slices.Contains(beyond, c) && p.peerMatches(c.policy, r, other, peer) && portMatches(r, f, server) {
				e.By, e.Rule = c.policy.Name, fmt.Sprintf("spec.%s[%d]", direction, i)
			}
		}
	}
	if len(e.Policies) > 0 {
		e.Allowed, e.Why = e.By != (model.Name{}), ""
	}
	return e
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

func portMatches(r *model.Rule, f Flow, server *model.Pod) bool {
	for _, p := range r.Ports {
		switch {
		case p.Protocol != f.Protocol:
		case p.PortName != "":
			named := model.PodPort{Name: p.PortName, Protocol: p.Protocol, Port: f.Port}
			if server != nil && slices.Contains(server.Ports, named) {
				return true
			}
		case p.Port == 0 || p.Port <= f.Port && f.Port <= max(p.Port, p.EndPort):
			return true
		}
	}
	return r.AnyPort
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
// its addresses.
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
