package row

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// NftPacket is a packet as rules see it.
type NftPacket struct {
	Src, Dst           netip.Addr
	Protocol           uint8
	SrcPort, DstPort   uint16
	ICMPType           uint8
	TTL                uint8  // or the hop limit
	State              uint32 // one of NftStateNew …
	SrcLocal, DstLocal bool   // the address is one of this node's
	Iif, Oif           string
	Mark               uint32
	Midway             bool // a packet of TCP or SCTP that begins nothing
}

// NftTracer follows packets through rules without a kernel: through what is wanted, or through what a dump
// of the kernel's table says. It knows the statements that filters are made of, not translation, and of frames nothing.
type NftTracer struct {
	chains map[string]NftChain
	rules  map[string][]nftTraceRule
	sets   map[string]*nftTraceSet
}

type nftTraceRule struct {
	NftRule
	stmts []NftStmt
}

type nftTraceSet struct {
	set    NftSet
	exact  map[string]NftElement
	ranges []NftElement
}

// NewNftTracer makes a tracer of rows.
func NewNftTracer(rows iter.Seq[Nft]) *NftTracer {
	t := &NftTracer{chains: map[string]NftChain{}, rules: map[string][]nftTraceRule{}, sets: map[string]*nftTraceSet{}}
	for r := range rows {
		if r.Key().Bridge {
			continue
		}
		switch r := r.(type) {
		case NftChain:
			t.chains[r.Name] = r
		case NftRule:
			t.rules[r.Chain] = append(t.rules[r.Chain], nftTraceRule{r, r.Body.Stmts()})
		case NftSet:
			t.set(r.Name).set = r
		case NftElement:
			s := t.set(r.Of.Value().Name)
			if r.Last != "" {
				s.ranges = append(s.ranges, r)
			} else {
				s.exact[r.Elem] = r
			}
		}
	}
	for _, list := range t.rules {
		slices.SortFunc(list, func(a, b nftTraceRule) int { return cmp.Compare(a.Pos, b.Pos) })
	}
	return t
}

func (t *NftTracer) set(name string) *nftTraceSet {
	if t.sets[name] == nil {
		t.sets[name] = &nftTraceSet{exact: map[string]NftElement{}}
	}
	return t.sets[name]
}

// NftTrail is what happened to a packet: the verdict of the last base chain that it met, NftAccept if none
// ended it, and the rules that led there.
type NftTrail struct {
	Verdict NftOp
	Rules   []NftRule // those that gave a verdict, in order
}

// Accepted tells whether the packet went on.
func (l NftTrail) Accepted() bool { return l.Verdict == NftAccept }

// String prints the rules, one per line.
func (l NftTrail) String() string {
	var b strings.Builder
	for _, r := range l.Rules {
		fmt.Fprintf(&b, "%s[%d]: %s\n", r.Chain, r.Pos, r.Body)
	}
	return b.String()
}

// Trace follows a packet through the base chains of a hook whose names begin with prefix, in order of
// priority. An error is a rule that the tracer can't follow, or a reference to what is not there.
func (t *NftTracer) Trace(hook NftHook, prefix string, p NftPacket) (NftTrail, error) {
	var base []NftChain
	for _, c := range t.chains {
		if c.Hook == hook && !c.Nat && strings.HasPrefix(c.Name, prefix) {
			base = append(base, c)
		}
	}
	slices.SortFunc(base, func(a, b NftChain) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Name, b.Name))
	})
	trail := NftTrail{Verdict: NftAccept}
	for _, c := range base {
		w := nftWalk{t: t, p: p, trail: &trail}
		v, err := w.chain(c.Name, 0)
		if err != nil {
			return trail, err
		}
		if v == NftNop && c.Drop {
			v = NftDropPkt
		}
		if v != NftNop && v != NftAccept {
			trail.Verdict = v
			return trail, nil
		}
	}
	return trail, nil
}

type nftWalk struct {
	t     *NftTracer
	p     NftPacket
	trail *NftTrail
}

// nftDepth is how deep the kernel lets chains call each other (NFT_JUMP_STACK_SIZE).
const nftDepth = 16

// chain walks one chain; NftNop: it came to its end, or returned.
func (w *nftWalk) chain(name string, depth int) (NftOp, error) {
	if _, ok := w.t.chains[name]; !ok {
		return NftNop, fmt.Errorf("no chain %q", name)
	}
	if depth > nftDepth {
		return NftNop, fmt.Errorf("chains nest deeper than %d at %q", nftDepth, name)
	}
	for _, r := range w.t.rules[name] {
		jump, err := w.rule(r)
		if err != nil {
			return NftNop, fmt.Errorf("%s: %w", r, err)
		}
		if jump.Op == NftNop {
			continue
		}
		w.trail.Rules = append(w.trail.Rules, r.NftRule)
		switch jump.Op {
		case NftReturn:
			return NftNop, nil
		case NftGotoChain:
			return w.chain(jump.Chain, depth)
		case NftJumpTo:
			if v, err := w.chain(jump.Chain, depth+1); v != NftNop || err != nil {
				return v, err
			}
		default:
			return jump.Op, nil
		}
	}
	return NftNop, nil
}

// rule gives the rule's verdict, or NftNop where a statement does not match.
func (w *nftWalk) rule(r nftTraceRule) (NftJump, error) {
	for _, s := range r.stmts {
		switch {
		case s.Op == NftCounter || s.Op == NftLog || s.Op == NftLimit || s.Op == NftSetField: // of what follows only a reset looks at the field
		case s.Op == NftQueue: // whoever reads it lets it go on
			return NftJump{Op: NftAccept}, nil
		case s.Op >= NftAccept && s.Op <= NftRejectAdmin:
			return NftJump{Op: s.Op, Chain: s.Chain}, nil
		case s.Op == NftVmap && s.Via == "":
			e, ok, err := w.find(s)
			if err != nil || ok {
				return e.Verdict, err
			}
			return NftJump{}, nil
		case s.Op <= NftLookup && s.Op != NftNop && s.Via == "":
			ok, err := w.match(s)
			if err != nil || ok == s.Not || !w.present(s) {
				return NftJump{}, err
			}
		default:
			return NftJump{}, fmt.Errorf("the tracer can't follow %s", s)
		}
	}
	return NftJump{}, nil
}

// present tells whether the packet has what a statement looks at at all: a negated match of an IPv6 address
// doesn't hold for an IPv4 packet.
func (w *nftWalk) present(s NftStmt) bool {
	for _, t := range s.Key {
		if t.Op == NftNoTerm {
			break
		}
		if _, ok := w.value(t); !ok {
			return false
		}
	}
	return true
}

func (w *nftWalk) match(s NftStmt) (bool, error) {
	switch s.Op {
	case NftMatchState:
		return w.p.State&s.Num != 0, nil
	case NftLookup:
		_, ok, err := w.find(s)
		return ok, err
	case NftMatchNet, NftMatchLocal:
		a, local := w.p.Src, w.p.SrcLocal
		if s.Key[0].Op == NftDaddr {
			a, local = w.p.Dst, w.p.DstLocal
		}
		if s.Op == NftMatchLocal {
			return local && a.Is6() == s.Key[0].V6, nil
		}
		return s.Prefix.Contains(a), nil
	case NftMatchNum, NftMatchRange:
		n, ok := w.number(s.Key[0])
		if s.Mask != 0 {
			n &= s.Mask
		}
		if s.Op == NftMatchRange {
			return ok && s.Num <= n && n <= s.Last, nil
		}
		return ok && n == s.Num, nil
	case NftMatchName:
		name := w.p.Iif
		if s.Key[0].Op == NftOif {
			name = w.p.Oif
		}
		if prefix, star := strings.CutSuffix(s.Text, "*"); star {
			return strings.HasPrefix(name, prefix), nil
		}
		return name == s.Text, nil
	}
	return false, fmt.Errorf("the tracer can't match %s", s)
}

// number is a term's value in host order.
func (w *nftWalk) number(t NftTerm) (uint32, bool) {
	switch t.Op {
	case NftNfproto:
		return map[bool]uint32{false: 2, true: 10}[w.p.Dst.Is6()], true
	case NftL4proto:
		return uint32(w.p.Protocol), true
	case NftSport:
		return uint32(w.p.SrcPort), true
	case NftDport:
		return uint32(w.p.DstPort), true
	case NftICMPType:
		return uint32(w.p.ICMPType), t.V6 && w.p.Protocol == 58 || !t.V6 && w.p.Protocol == 1
	case NftTTL:
		return uint32(w.p.TTL), w.p.Src.Is6() == t.V6
	case NftPktMark:
		return w.p.Mark, true
	case NftTCPFlags:
		const syn, ack = 2, 16
		return map[bool]uint32{false: syn, true: ack}[w.p.Midway], w.p.Protocol == 6
	case NftSCTPChunk:
		const data, init = 0, 1
		return map[bool]uint32{false: init, true: data}[w.p.Midway], w.p.Protocol == 132
	}
	return 0, false
}

// value is a term's value as a key's wire bytes; false: the packet has none.
func (w *nftWalk) value(t NftTerm) (NftWire, bool) {
	switch t.Op {
	case NftSaddr:
		return NftWire{}.Addr(w.p.Src), w.p.Src.Is6() == t.V6
	case NftDaddr:
		return NftWire{}.Addr(w.p.Dst), w.p.Dst.Is6() == t.V6
	case NftL4proto:
		return NftWire{}.Proto(w.p.Protocol), true
	case NftSport:
		return NftWire{}.Port(w.p.SrcPort), true
	case NftDport:
		return NftWire{}.Port(w.p.DstPort), true
	case NftIif:
		return NftWire{}.Ifname(w.p.Iif), true
	case NftOif:
		return NftWire{}.Ifname(w.p.Oif), true
	case NftNfproto, NftICMPType, NftPktMark, NftTCPFlags, NftSCTPChunk, NftTTL:
		n, ok := w.number(t)
		return NftWire{}.Host(n), ok
	}
	return nil, false
}

// find looks the packet up in a set.
func (w *nftWalk) find(s NftStmt) (NftElement, bool, error) {
	set := w.t.sets[s.Set]
	if set == nil || set.set.Name == "" {
		return NftElement{}, false, fmt.Errorf("no set %q", s.Set)
	}
	var key NftWire
	for _, t := range s.Key {
		if t.Op == NftNoTerm {
			break
		}
		v, ok := w.value(t)
		if !ok {
			return NftElement{}, false, nil
		}
		key = append(key, v...)
	}
	if e, ok := set.exact[string(key)]; ok {
		return e, true, nil
	}
	for _, e := range set.ranges {
		if within(set.set.Keys, string(key), e) {
			return e, true, nil
		}
	}
	return NftElement{}, false, nil
}

// within compares field by field, as a concatenation of ranges is compared.
func within(types NftTypes, key string, e NftElement) bool {
	at := 0
	for _, t := range types {
		if t == NftNone {
			break
		}
		end := at + (t.Size()+3)&^3
		if end > len(key) || end > len(e.Elem) || end > len(e.Last) {
			return false
		}
		if k := key[at:end]; k < e.Elem[at:end] || k > e.Last[at:end] {
			return false
		}
		at = end
	}
	return at > 0
}
