package conntrack

import (
	"fmt"
	"net/netip"

	"kube-router/internal/row"
)

// Tuple is one direction of a flow.
type Tuple struct{ Src, Dst netip.AddrPort }

// Flow is one entry of the kernel's table, outside of conntrack zones: flows in zones are others'.
type Flow struct {
	Protocol    uint8
	Orig, Reply Tuple  // as the client sends, and as the answer comes: Reply.Src is who really answers
	ID          uint32 // tells this flow from a later one of the same tuple; 0: any

	ICMPType, ICMPCode uint8 // of the first message
}

// String prints "udp 10.244.1.5:4000 -> 10.96.0.10:53 answered by 10.244.2.5:53".
func (f Flow) String() string {
	p := row.FlowsKey{Addr: f.Orig.Dst.Addr(), Port: f.Orig.Dst.Port(), Protocol: f.Protocol}
	return fmt.Sprintf("%s from %s answered by %s", p, f.Orig.Src, f.Reply.Src)
}

// Filter selects flows. The kernel applies it, so that a look at one front doesn't copy the whole table.
type Filter struct {
	V6       bool
	Protocol uint8          // 0: every protocol
	Dst      netip.AddrPort // what the client sends to; invalid: anything
}

// matches applies the filter.
func (f Filter) matches(w Flow) bool {
	return w.Orig.Dst.Addr().Is6() == f.V6 && (f.Protocol == 0 || f.Protocol == w.Protocol) &&
		(!f.Dst.IsValid() || f.Dst == w.Orig.Dst)
}

// Kernel is the kernel's table, or a fake of it.
type Kernel interface {
	// Flows calls each for every flow that the filter selects.
	Flows(f Filter, each func(Flow)) error
	// Delete ends flows, each exactly. A flow that has gone already is deleted.
	Delete(flows ...Flow) error
}
