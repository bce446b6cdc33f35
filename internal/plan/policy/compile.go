package policy

import (
	"net/netip"
	"slices"
	"strconv"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// compiled is a policy with what it allows in the words of intents, but for what depends on the target.
type compiled struct {
	policy  *model.Policy
	target  selection
	sides   [2]*side                  // by intent.Direction; nil: says nothing
	sets    []setDef                  // without repetition
	using   map[intent.SetID]struct{} // the same, while it is compiled
	targets int                       // pods of this node that it selects
	serial  uint64                    // tells this compilation from any other
	parts   int                       // how much it is, see limit.go
}

// side is one direction of a policy.
type side struct {
	matches []intent.Match
	named   []namedMatch
}

// namedMatch waits for the target pod to tell what the port's name means. A name that means nothing opens
// nothing.
type namedMatch struct {
	match    intent.Match
	protocol model.Protocol
	port     string
}

// setDef is what a set is made of.
type setDef struct {
	id       intent.SetID
	from     selection
	protocol model.Protocol // of a named port
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
	c := &compiled{policy: p, target: selection{scope: p.Name.Namespace, pods: &p.Pods}, using: map[intent.SetID]struct{}{}}
	for d, rules := range [2]*model.Rules{p.Ingress, p.Egress} {
		if rules == nil {
			continue
		}
		c.sides[d] = &side{}
		for i := range rules.Rules {
			c.rule(intent.Direction(d), &rules.Rules[i])
		}
	}
	c.using = nil
	c.parts = c.size()
	return c
}

// rule adds what one rule allows: each of its peers on each of its ports.
func (c *compiled) rule(d intent.Direction, r *model.Rule) {
	if r.AnyPeer {
		c.peer(d, r, intent.Match{}, everyPod())
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		switch {
		case p.Block.IsValid():
			if spans := subtract(p.Block, p.Except); len(spans) > 0 {
				c.peer(d, r, intent.Match{Block: spans}, everyPod())
			}
		default:
			from := peerSelection(c.policy, p)
			if !from.never() {
				c.peer(d, r, intent.Match{}, from, defineSet(from, nil))
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
func (c *compiled) peer(d intent.Direction, r *model.Rule, a intent.Match, from selection, set ...setDef) {
	s := c.sides[d]
	plain := a
	ranges := numeric(r.Ports)
	named := slices.DeleteFunc(slices.Clone(r.Ports), func(p model.PolicyPort) bool { return p.PortName == "" })
	if r.AnyPort || len(ranges) > 0 || len(named) > 0 && d == intent.ToPod {
		for _, def := range set {
			plain.Set = c.use(def)
		}
	}
	if r.AnyPort || len(ranges) > 0 {
		plain.Ports = ranges
		s.matches = append(s.matches, plain)
		plain.Ports = nil
	}
	for i := range named {
		p := &named[i]
		if d == intent.ToPod {
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
		c.sets = append(c.sets, d)
	}
	return d.id
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
