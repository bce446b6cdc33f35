// Package conntrack is the verb between intents and the flows that the kernel may remember. It is pure, and
// the same for both service engines.
package conntrack

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Service renders one front. TCP needs nothing: an endpoint that has gone resets its connections, and the
// client begins anew. Endpoints that only keep what they have count too: draining is not gone.
func Service(s *intent.Service) []row.Flows {
	if s.Protocol != udp && s.Protocol != sctp {
		return nil
	}
	front := row.FlowsKey{Addr: s.Addr, Port: s.Port, Protocol: s.Protocol}
	flows := row.Flows{Front: front, To: pack(slices.Concat(s.Backends, s.Near, s.Keep))}
	if s.Far && s.Protocol == udp {
		// An association of SCTP would break; what it has it keeps, as TCP does. UDP has nothing to lose.
		flows.Far, flows.Plain = true, s.KeepSource && !s.Masquerade
		flows.Near = pack(s.Near, only(s.Keep, func(b intent.Backend) bool { return b.Local }))
	}
	return []row.Flows{flows}
}

const udp, sctp = 17, 132

func pack(lists ...[]intent.Backend) string {
	var to []netip.AddrPort
	for _, b := range slices.Concat(lists...) {
		to = append(to, netip.AddrPortFrom(b.Addr, b.Port))
	}
	return row.FlowsTo(to...)
}

func only(list []intent.Backend, keep func(intent.Backend) bool) []intent.Backend {
	return slices.DeleteFunc(slices.Clone(list), func(b intent.Backend) bool { return !keep(b) })
}
