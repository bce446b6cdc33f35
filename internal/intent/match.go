package intent

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
)

// PortRange is destination ports First to Last of a protocol; 0 to 65535 are all.
type PortRange struct {
	Protocol    uint8
	First, Last uint16
}

// Compare orders ranges by protocol and port.
func (r PortRange) Compare(o PortRange) int {
	return cmp.Or(cmp.Compare(r.Protocol, o.Protocol), cmp.Compare(r.First, o.First), cmp.Compare(r.Last, o.Last))
}

// String prints "tcp/80", "tcp/80-90" or "tcp".
func (r PortRange) String() string {
	text := ProtocolName(r.Protocol)
	switch {
	case r.First == 0 && r.Last == 65535:
		return text
	case r.First == r.Last:
		return text + "/" + strconv.Itoa(int(r.First))
	}
	return text + "/" + strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// MergePorts sorts ranges and joins those that touch or overlap.
func MergePorts(list []PortRange) []PortRange {
	slices.SortFunc(list, PortRange.Compare)
	var out []PortRange
	for _, r := range list {
		if n := len(out); n > 0 && out[n-1].Protocol == r.Protocol && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Span is the addresses from First to Last, both of one family.
type Span struct{ First, Last netip.Addr }

// String prints "10.0.0.0-10.0.0.255".
func (s Span) String() string { return s.First.String() + "-" + s.Last.String() }

// Contains tells whether an address lies in the span.
func (s Span) Contains(a netip.Addr) bool {
	return a.Is4() == s.First.Is4() && s.First.Compare(a) <= 0 && a.Compare(s.Last) <= 0
}

// Match is one thing that a rule is about: all of Set, Block and Ports must hold, those that are empty hold for
// everything.
type Match struct {
	Set   SetID
	Block []Span      // ipBlocks of one family, each without its own exceptions: disjoint, sorted
	Ports []PortRange // disjoint, sorted; of no protocol but those named
}

// String is the canonical text, from which names are made.
func (m Match) String() string {
	if m.All() {
		return "everything"
	}
	var b []byte
	if m.Set != (SetID{}) {
		b = append(b, m.Set.String()...)
	}
	for i, s := range m.Block {
		b = s.First.AppendTo(append(b, opening(i, len(b))...))
		b = s.Last.AppendTo(append(b, '-'))
	}
	if len(m.Block) > 0 {
		b = append(b, ']')
	}
	for i, r := range m.Ports {
		b = append(append(b, opening(i, len(b))...), r.String()...)
	}
	if len(m.Ports) > 0 {
		b = append(b, ']')
	}
	return string(b)
}

// opening is what stands before an item of a list that follows some text.
func opening(item, before int) string {
	switch {
	case item > 0:
		return " "
	case before > 0:
		return " ["
	}
	return "["
}

// All tells whether it holds of every packet.
func (m Match) All() bool { return m.Set == (SetID{}) && len(m.Block) == 0 && len(m.Ports) == 0 }

// peer names who is allowed, without the ports.
func (m Match) peer() string {
	m.Ports = nil
	return m.String()
}

// service names what is allowed to a block of addresses; other peers stand for themselves.
func (m Match) service() string {
	if len(m.Block) == 0 {
		return m.String()
	}
	family := "IPv4 "
	if m.Block[0].First.Is6() {
		family = "IPv6 "
	}
	m.Block = nil
	return family + m.String()
}

// merge joins what has the same key, in the order of the first of each.
func merge(list []Match, key func(Match) string, join func([]Match) Match) []Match {
	at := make(map[string]int, len(list))
	groups := make([][]Match, 0, len(list))
	for _, a := range list {
		k := key(a)
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], a)
	}
	out := make([]Match, len(groups))
	for i, same := range groups {
		if out[i] = same[0]; len(same) > 1 {
			out[i] = join(same)
		}
	}
	return out
}

// MergeSpans sorts spans of one family and joins those that touch or overlap.
func MergeSpans(list []Span) []Span {
	slices.SortFunc(list, func(a, b Span) int { return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last)) })
	var out []Span
	for _, s := range list {
		if n := len(out); n > 0 && (s.First.Compare(out[n-1].Last) <= 0 || s.First == out[n-1].Last.Next()) {
			if s.Last.Compare(out[n-1].Last) > 0 {
				out[n-1].Last = s.Last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}
