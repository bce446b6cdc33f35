package policy

import (
	"net/netip"
	"slices"
	"strconv"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// compiled is a policy of either kind with what it says in the words of intents, but for what depends on the target.
type compiled struct {
	ref     model.Ref
	policy  *model.Policy        // nil: it is a ClusterNetworkPolicy
	cluster *model.ClusterPolicy // nil: it is a NetworkPolicy
	target  selection
	sides   [2]*side                  // by intent.Direction: what a NetworkPolicy accepts; nil: says nothing
	rules   [2][]ordered              // by intent.Direction: what a ClusterNetworkPolicy says
	sets    []setDef                  // without repetition
	using   map[intent.SetID]struct{} // the same, while it is compiled
	targets int                       // pods of this node that it selects
	serial  uint64                    // tells this compilation from any other
	parts   int                       // how much it is, see limit.go
	audit   bool                      // it is only rehearsed
	nodes   *model.Selector           // of a NodePolicy: whom it is about
	closes  bool                      // of a NodePolicy: fail-safes too
	domains bool                      // it names domains
}

// level is the tier of the policy.
func (c *compiled) level() intent.Level {
	switch {
	case c.cluster == nil:
		return intent.NetworkLevel
	case c.cluster.Tier == model.BaselineTier:
		return intent.BaselineLevel
	}
	return intent.AdminLevel
}

// side is one direction of a NetworkPolicy, or one rule of a ClusterNetworkPolicy.
type side struct {
	matches []intent.Match
	named   []namedMatch
}

// namedMatch waits for the target pod to tell what the port's name means. A name that means nothing opens
// nothing.
type namedMatch struct {
	match    intent.Match
	protocol model.Protocol // 0: whatever the container says
	port     string
}

// setDef is what a set is made of.
type setDef struct {
	id       intent.SetID
	from     selection
	protocol model.Protocol // of a named port; 0: any
	port     string         // a named port; empty: addresses alone
}

func defineSet(from selection, p *model.PolicyPort) setDef {
	d := setDef{from: from}
	text := from.String()
	if p != nil {
		d.protocol, d.port, d.id.Named = p.Protocol, p.PortName, true
		text += " port " + strconv.Quote(p.PortName) + " " + p.Protocol.String()
	}
	d.id.Hash = intent.Digest(text)
	return d
}

func compile(p *model.Policy) *compiled {
	c := &compiled{ref: p.Ref(), policy: p, target: selection{scope: p.Name.Namespace, pods: &p.Pods}, audit: p.Audit, using: map[intent.SetID]struct{}{}}
	for d, rules := range [2]*model.Rules{p.Ingress, p.Egress} {
		if rules == nil {
			continue
		}
		c.sides[d] = &side{}
		for i := range rules.Rules {
			c.rule(c.sides[d], intent.Direction(d), &rules.Rules[i])
		}
	}
	c.using = nil
	c.parts = c.size()
	return c
}

// rule adds what one rule allows: each of its peers on each of its ports.
func (c *compiled) rule(s *side, d intent.Direction, r *model.Rule) {
	ports := portsOf(d, r.Ports, r.AnyPort)
	if r.AnyPeer {
		c.peer(s, ports, intent.Match{}, everyPod())
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		switch {
		case p.Block.IsValid():
			if spans := subtract(p.Block, p.Except); len(spans) > 0 {
				c.peer(s, ports, intent.Match{Block: spans}, everyPod())
			}
		default:
			from := peerSelection(c.policy, p)
			if !from.never() {
				c.peer(s, ports, intent.Match{}, from, defineSet(from, nil))
			}
		}
	}
}

// everyPod selects all pods of the cluster.
func everyPod() selection { return selection{namespaces: &model.Selector{}} }

func peerSelection(p *model.Policy, peer *model.PolicyPeer) selection {
	return selection{scope: p.Name.Namespace, namespaces: peer.Namespaces, pods: peer.Pods}
}

// peer adds one peer: by its set, if it is one of pods, or as what a says. A named port of egress is what it
// means for each pod of from, so with it a set of its own stands in the place of the peer's.
func (c *compiled) peer(s *side, ports ruled, a intent.Match, from selection, set ...setDef) {
	plain := a
	if ports.any || len(ports.ranges) > 0 || len(ports.named) > 0 && ports.direction == intent.ToPod {
		for _, def := range set {
			plain.Set = c.use(def)
		}
	}
	if ports.any || len(ports.ranges) > 0 {
		plain.Ports = ports.ranges
		s.matches = append(s.matches, plain)
		plain.Ports = nil
	}
	for i := range ports.named {
		p := &ports.named[i]
		if ports.direction == intent.ToPod {
			s.named = append(s.named, namedMatch{plain, p.Protocol, p.PortName})
			continue
		}
		b := a
		b.Set = c.use(defineSet(from, p))
		s.matches = append(s.matches, b)
	}
}

// use notes that the policy needs a set.
func (c *compiled) use(d setDef) intent.SetID {
	if _, ok := c.using[d.id]; !ok {
		c.using[d.id] = struct{}{}
		c.domains = c.domains || d.from.domain != ""
		c.sets = append(c.sets, d)
	}
	return d.id
}

// ruled is the ports of a rule.
type ruled struct {
	direction intent.Direction
	any       bool
	ranges    []intent.PortRange
	named     []model.PolicyPort
}

func portsOf(d intent.Direction, ports []model.PolicyPort, any bool) ruled {
	named := slices.DeleteFunc(slices.Clone(ports), func(p model.PolicyPort) bool { return p.PortName == "" })
	r := ruled{direction: d, any: any, named: named}
	if !any {
		r.ranges = numeric(ports)
	}
	return r
}

// numeric are the ports that have a number, as disjoint ranges.
func numeric(ports []model.PolicyPort) []intent.PortRange {
	var list []intent.PortRange
	for _, p := range ports {
		r := intent.PortRange{Protocol: uint8(p.Protocol), First: uint16(p.Port), Last: uint16(max(p.Port, p.EndPort))}
		switch {
		case p.PortName != "":
			continue
		case p.Port == 0:
			r.Last = 65535
		}
		list = append(list, r)
	}
	return intent.MergePorts(list)
}

// subtract is a block without its exceptions, as disjoint spans in order.
func subtract(block netip.Prefix, except []netip.Prefix) []intent.Span {
	block = block.Masked()
	sorted := slices.Clone(except)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int { return a.Masked().Addr().Compare(b.Masked().Addr()) })
	next, last := block.Addr(), lastOf(block)
	var spans []intent.Span
	for _, e := range sorted {
		e = e.Masked()
		if e.Addr().Is4() != next.Is4() || !e.Overlaps(block) {
			continue
		}
		if e.Bits() <= block.Bits() {
			return nil
		}
		if next.Compare(e.Addr()) < 0 {
			spans = append(spans, intent.Span{First: next, Last: e.Addr().Prev()})
		}
		end := lastOf(e)
		if end == last {
			return spans
		}
		if next.Compare(end) <= 0 {
			next = end.Next()
		}
	}
	return append(spans, intent.Span{First: next, Last: last})
}

// lastOf is the highest address of a block.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
