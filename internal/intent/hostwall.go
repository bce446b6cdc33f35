package intent

import "fmt"

// Place is where a tier stands that judges a node in place of pods.
type Place uint8

// The places.
const (
	AtPod   Place = iota // it judges pods
	AtHost               // what no fail-safe is about
	AtSafes              // what fail-safes are about, where a policy closes them
)

// OnHost is a tier as it judges this node at a place.
func (t *Tier) OnHost(p Place, rehearsal bool) *Tier {
	h := *t
	h.Place, h.Rehearsal = p, rehearsal
	h.ID = Digest(fmt.Sprintf("host %d %t %s", p, rehearsal, t.ID))
	return &h
}

// HostWall is what guards this node itself: what comes to it and leaves it, not what it forwards.
type HostWall struct {
	Node string
	// Tiers judge by direction, in order of their levels; two at most. Of a direction without any nothing is judged.
	Tiers [2][]*Tier
	// Safes are what passes whatever Tiers say, where these judge in their place: destination ports, and whole protocols. Closed are the tiers that
	// judge it where a policy closes fail-safes; none: it passes.
	Safes  [2][]PortRange
	Closed [2][]*Tier
	// Own are ranges of this node's pods, which it reaches as a fail-safe.
	Own []Span
	// Rehearsal has what Tiers and Closed were if the policies were enforced that are only rehearsed; none: no such policy is about the direction.
	Rehearsal, RehearsedClosed [2][]*Tier
}

// All are all tiers.
func (w *HostWall) All() (list []*Tier) {
	for _, of := range [][2][]*Tier{w.Tiers, w.Closed, w.Rehearsal, w.RehearsedClosed} {
		list = append(append(list, of[ToPod]...), of[FromPod]...)
	}
	return list
}

// Enforced are those that may end something.
func (w *HostWall) Enforced() (list []*Tier) {
	for _, of := range [][2][]*Tier{w.Tiers, w.Closed} {
		list = append(append(list, of[ToPod]...), of[FromPod]...)
	}
	return list
}

// String prints one line.
func (w *HostWall) String() string {
	text := "node " + w.Node
	for _, t := range w.All() {
		text += ", " + t.String()
	}
	return text
}
