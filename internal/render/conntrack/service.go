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
	if s.Protocol != 17 && s.Protocol != 132 {
		return nil
	}
	var to []netip.AddrPort
	for _, b := range slices.Concat(s.Backends, s.Near, s.Keep) {
		to = append(to, netip.AddrPortFrom(b.Addr, b.Port))
	}
	front := row.FlowsKey{Addr: s.Addr, Port: s.Port, Protocol: s.Protocol}
	return []row.Flows{{Front: front, To: row.FlowsTo(to...)}}
}
