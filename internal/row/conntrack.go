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
//
// Under externalTrafficPolicy Local clients outside have endpoints of their own. Who isn't outside is told by one more
// row, that of no front.
type Flows struct {
	Front  FlowsKey
	To     string // the endpoints' wire bytes, see FlowsTo; empty: nobody
	Far    bool   // flows of clients outside may go to Near alone
	Near   string // as To
	Plain  bool   // and keep their own source address
	Inside string // of the row without a front: the blocks of clients that are not outside, see FlowsInside
	As     string // of the same: the node's addresses, which clients are given; of one that was changed for another all flows end
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

// FlowsInside makes the row that tells by which addresses the node is known, of each family one at most, and which clients are not outside.
func FlowsInside(as []netip.Addr, blocks ...netip.Prefix) Flows {
	var list []string
	for _, p := range blocks {
		list = append(list, p.Masked().String())
	}
	slices.Sort(list)
	var own []string
	for _, a := range as {
		own = append(own, a.String())
	}
	return Flows{Inside: strings.Join(slices.Compact(list), " "), As: strings.Join(own, " ")}
}

// Given unpacks As.
func (f Flows) Given() []netip.Addr {
	var list []netip.Addr
	for _, text := range strings.Fields(f.As) {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// Blocks unpacks Inside.
func (f Flows) Blocks() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range strings.Fields(f.Inside) {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// Key is the front.
func (f Flows) Key() FlowsKey { return f.Front }

// Endpoints unpacks To, sorted.
func (f Flows) Endpoints() []netip.AddrPort { return f.unpack(f.To) }

// NearEndpoints unpacks Near, sorted.
func (f Flows) NearEndpoints() []netip.AddrPort { return f.unpack(f.Near) }

func (f Flows) unpack(packed string) []netip.AddrPort {
	size := len(f.Front.Addr.AsSlice())
	var list []netip.AddrPort
	for b := []byte(packed); size > 0 && len(b) >= size+2; b = b[size+2:] {
		a, _ := netip.AddrFromSlice(b[:size])
		list = append(list, netip.AddrPortFrom(a, uint16(b[size])<<8|uint16(b[size+1])))
	}
	return list
}

// String prints "udp 10.96.0.10:53 flows only to 10.244.1.5:53 10.244.2.5:53; from outside only to 10.244.1.5:53".
func (f Flows) String() string {
	if f.Front == (FlowsKey{}) {
		return "flows from outside come from all but " + f.Inside + "; clients are given " + f.As
	}
	text := fmt.Sprintf("%s flows only to %s", f.Front, endpoints(f.Endpoints()))
	if f.Far {
		text += "; from outside only to " + endpoints(f.NearEndpoints())
		if f.Plain {
			text += ", not masqueraded"
		}
	}
	return text
}

func endpoints(list []netip.AddrPort) string {
	if len(list) == 0 {
		return "nobody"
	}
	var text []string
	for _, e := range list {
		text = append(text, e.String())
	}
	return strings.Join(text, " ")
}
