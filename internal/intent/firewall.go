package intent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Direction is the direction of a flow as a pod sees it.
type Direction uint8

// The directions.
const (
	ToPod   Direction = iota // ingress
	FromPod                  // egress
)

// String prints "ingress" or "egress".
func (d Direction) String() string { return [...]string{"ingress", "egress"}[d] }

// Digest is a name for a value with a canonical text: 128 bits of its SHA-256 in hex.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// SetID names a set of peers that is shared by everybody who selects the same. The set of a named port
// holds addresses together with the protocol and port that the name means there.
type SetID struct {
	Hash  string
	Named bool
}

// Compare orders sets by name.
func (s SetID) Compare(o SetID) int { return strings.Compare(s.String(), o.String()) }

// String prints "peer-1f…" or "named-1f…".
func (s SetID) String() string {
	if s.Named {
		return "named-" + s.Hash
	}
	return "peer-" + s.Hash
}

// PeerSet is a set of peers that somebody needs; who is in it is told by Memberships.
type PeerSet struct {
	ID   SetID
	Text string // what it selects, for people
}

// Key is the set's name.
func (s *PeerSet) Key() SetID { return s.ID }

// String prints the name and what is selected.
func (s *PeerSet) String() string { return s.ID.String() + ": " + s.Text }

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

// Allow is one thing that a rule list lets through: all of Set, Block and Ports must hold, those that are
// empty hold for everything.
type Allow struct {
	Set   SetID
	Block []Span      // ipBlocks of one family, each without its own exceptions: disjoint, sorted
	Ports []PortRange // disjoint, sorted; of no protocol but those named
}

// String is the canonical text, from which names are made.
func (a Allow) String() string {
	if a.All() {
		return "everything"
	}
	var b []byte
	if a.Set != (SetID{}) {
		b = append(b, a.Set.String()...)
	}
	for i, s := range a.Block {
		b = s.First.AppendTo(append(b, opening(i, len(b))...))
		b = s.Last.AppendTo(append(b, '-'))
	}
	if len(a.Block) > 0 {
		b = append(b, ']')
	}
	for i, r := range a.Ports {
		b = append(append(b, opening(i, len(b))...), r.String()...)
	}
	if len(a.Ports) > 0 {
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

// All tells whether everything is allowed.
func (a Allow) All() bool { return a.Set == (SetID{}) && len(a.Block) == 0 && len(a.Ports) == 0 }

// RuleList is what one direction of isolated pods lets through; nothing else passes. Pods with the same
// list share it, whichever policies it comes from.
type RuleList struct {
	ID        string // see NewRuleList
	Direction Direction
	Allows    []Allow // sorted by text, without repetition
}

// NewRuleList brings a list into its canonical form and names it. What differs in its ports or in its block
// alone becomes one, so that the list is as short as its distinct peers, not as long as its policies.
func NewRuleList(d Direction, allows []Allow) *RuleList {
	allows = merge(allows, Allow.peer, func(same []Allow) Allow {
		var ports []PortRange
		for _, a := range same {
			if len(a.Ports) == 0 {
				return a
			}
			ports = append(ports, a.Ports...)
		}
		same[0].Ports = MergePorts(ports)
		return same[0]
	})
	allows = merge(allows, Allow.service, func(same []Allow) Allow {
		var spans []Span
		for _, a := range same {
			spans = append(spans, a.Block...)
		}
		same[0].Block = mergeSpans(spans)
		return same[0]
	})
	if i := slices.IndexFunc(allows, Allow.All); i >= 0 {
		allows = allows[i : i+1]
	}
	type entry struct {
		text  string
		allow Allow
	}
	entries := make([]entry, len(allows))
	for i, a := range allows {
		entries[i] = entry{a.String(), a}
	}
	slices.SortFunc(entries, func(x, y entry) int { return strings.Compare(x.text, y.text) })
	l := &RuleList{Direction: d}
	var text strings.Builder
	text.WriteString(d.String())
	for _, e := range entries {
		l.Allows = append(l.Allows, e.allow)
		text.WriteString("\n" + e.text)
	}
	l.ID = Digest(text.String())
	return l
}

// peer names who is allowed, without the ports.
func (a Allow) peer() string {
	a.Ports = nil
	return a.String()
}

// service names what is allowed to a block of addresses; other peers stand for themselves.
func (a Allow) service() string {
	if len(a.Block) == 0 {
		return a.String()
	}
	family := "IPv4 "
	if a.Block[0].First.Is6() {
		family = "IPv6 "
	}
	a.Block = nil
	return family + a.String()
}

// merge joins what has the same key, in the order of the first of each.
func merge(list []Allow, key func(Allow) string, join func([]Allow) Allow) []Allow {
	at := make(map[string]int, len(list))
	groups := make([][]Allow, 0, len(list))
	for _, a := range list {
		k := key(a)
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], a)
	}
	out := make([]Allow, len(groups))
	for i, same := range groups {
		if out[i] = same[0]; len(same) > 1 {
			out[i] = join(same)
		}
	}
	return out
}

// mergeSpans sorts spans of one family and joins those that touch or overlap.
func mergeSpans(list []Span) []Span {
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

// Key is the list's name.
func (l *RuleList) Key() string { return l.ID }

// String prints the direction and what is allowed.
func (l *RuleList) String() string {
	if len(l.Allows) == 0 {
		return l.Direction.String() + " nothing"
	}
	return fmt.Sprintf("%s %v", l.Direction, l.Allows)
}

// Firewall is what guards one pod of this node: a list for each direction in which policies isolate it.
type Firewall struct {
	Pod     string // "namespace/name"
	Addrs   []netip.Addr
	Ingress *RuleList // nil: everything may come
	Egress  *RuleList // nil: everything may go
}

// Key is the pod.
func (f *Firewall) Key() string { return f.Pod }

// String prints one line.
func (f *Firewall) String() string {
	text := f.Pod + " " + fmt.Sprint(f.Addrs)
	for _, l := range []*RuleList{f.Ingress, f.Egress} {
		if l != nil {
			text += ", " + l.String()
		}
	}
	return text
}

// Membership is the sets of peers that one pod of the cluster is in.
type Membership struct {
	Pod   string
	Addrs []netip.Addr
	Sets  []SetID       // sorted
	Named []NamedMember // sorted
}

// NamedMember is what a named port means for one pod.
type NamedMember struct {
	Set      SetID
	Protocol uint8
	Port     uint16
}

// Key is the pod.
func (m *Membership) Key() string { return m.Pod }

// String prints one line.
func (m *Membership) String() string {
	text := fmt.Sprintf("%s %v in %v", m.Pod, m.Addrs, m.Sets)
	for _, n := range m.Named {
		text += fmt.Sprintf(" %s as %s/%d", n.Set, ProtocolName(n.Protocol), n.Port)
	}
	return text
}

// FirewallBase is what stands around the pods' rule lists.
type FirewallBase struct {
	V4, V6    bool
	JudgeEcho bool           // echo requests obey policies
	Ranges    []netip.Prefix // addresses there that are no known pod's are refused
	Bridge    bool           // pods of this node hang on our bridge
	// Bridges are another CNI's on which pods hang, and Broadcasts are addresses that all pods hear there.
	Bridges    []string
	Broadcasts []netip.Addr
	// Fronts and the node ports are where pods find Services of an engine that translates after the judgement
	// of what is for the node itself; there the packet is judged once it is on its way to the endpoint. OwnFronts:
	// that engine is ours, and the fronts are those that it has.
	OwnFronts           bool
	Fronts              []netip.Prefix
	FirstPort, LastPort uint16 // 0: no node ports
}
