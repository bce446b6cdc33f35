package row

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Flows says which endpoints the conntrack flows to one front may have. It matters for UDP and SCTP, whose
// flows outlive the endpoint that answered them as long as the client keeps sending: a flow to anybody else
// is deleted, and the client's next packet begins a new one.
type Flows struct {
	Front FlowsKey
	To    string // the endpoints' wire bytes, see FlowsTo; empty: nobody
}

// FlowsKey is a front: what the client sends to.
type FlowsKey struct {
	Addr     netip.Addr
	Port     uint16
	Protocol uint8 // IANA number
}

// String prints "udp 10.96.0.10:53".
func (k FlowsKey) String() string {
	return nftProto(k.Protocol) + " " + netip.AddrPortFrom(k.Addr, k.Port).String()
}

// FlowsTo packs endpoints of one family, in any order, into Flows.To.
func FlowsTo(list ...netip.AddrPort) string {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.AddrPort.Compare)
	var b []byte
	for _, a := range slices.Compact(list) {
		b = append(b, a.Addr().AsSlice()...)
		b = append(b, byte(a.Port()>>8), byte(a.Port()))
	}
	return string(b)
}

// Key is the front.
func (f Flows) Key() FlowsKey { return f.Front }

// Endpoints unpacks To, sorted.
func (f Flows) Endpoints() []netip.AddrPort {
	size := len(f.Front.Addr.AsSlice())
	var list []netip.AddrPort
	for b := []byte(f.To); size > 0 && len(b) >= size+2; b = b[size+2:] {
		a, _ := netip.AddrFromSlice(b[:size])
		list = append(list, netip.AddrPortFrom(a, uint16(b[size])<<8|uint16(b[size+1])))
	}
	return list
}

// String prints "udp 10.96.0.10:53 flows only to 10.244.1.5:53 10.244.2.5:53".
func (f Flows) String() string {
	var to []string
	for _, e := range f.Endpoints() {
		to = append(to, e.String())
	}
	if len(to) == 0 {
		to = []string{"nobody"}
	}
	return fmt.Sprintf("%s flows only to %s", f.Front, strings.Join(to, " "))
}
