package intent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
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

// Firewall is what guards one pod of this node: for each direction the tiers that judge, in order of their levels. What the
// last of them passes is allowed, so there is none behind that of NetworkPolicies.
type Firewall struct {
	Pod     string // "namespace/name"
	Addrs   []netip.Addr
	Ingress []*Tier // two at most; none: everything may come
	Egress  []*Tier // two at most; none: everything may go

	Learns bool // what it is told of domain names counts, since its policies name some

	// Rehearsal has by direction the tiers that the pod had if the policies were enforced that are only rehearsed; none: none is there.
	Rehearsal [2][]*Tier
}

// Rehearsed are the tiers of its rehearsal.
func (f *Firewall) Rehearsed() []*Tier {
	return slices.Concat(f.Rehearsal[ToPod], f.Rehearsal[FromPod])
}

// Tiers are those of both directions that are enforced.
func (f *Firewall) Tiers() []*Tier { return slices.Concat(f.Ingress, f.Egress) }

// Key is the pod.
func (f *Firewall) Key() string { return f.Pod }

// String prints one line.
func (f *Firewall) String() string {
	text := f.Pod + " " + fmt.Sprint(f.Addrs)
	for _, t := range f.Tiers() {
		text += ", " + t.String()
	}
	for _, t := range f.Rehearsed() {
		text += ", rehearsed " + t.String()
	}
	if f.Learns {
		text += ", learns domain names"
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

// FirewallBase is what stands around the pods' tiers.
type FirewallBase struct {
	V4, V6    bool
	JudgeEcho bool           // echo requests obey policies
	Ranges    []netip.Prefix // addresses there that are no known pod's are refused
	Bridge    bool           // pods of this node hang on our bridge
	Rehearsal bool           // what is enforced by nobody yet is judged as well
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
