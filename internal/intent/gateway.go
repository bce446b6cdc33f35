package intent

import (
	"fmt"
	"net/netip"
)

// GatewayBase says what stands whatever EgressGateways there are: what a gateway does for pods of other nodes, and that nothing leaves
// the cluster with a source that isn't right.
type GatewayBase struct {
	V4, V6 bool
	Here   []netip.Prefix // this node's pod ranges
	Pods   []netip.Prefix // all nodes' pod ranges
	Keep   []netip.Prefix // where pods are known by their own addresses: pods, Services, links; these never go by a gateway
	Hidden bool           // pods without a gateway leave with the node's address
}

// String prints one line.
func (b *GatewayBase) String() string {
	return fmt.Sprintf("gateways for other than %v and not to %v, others hidden=%t", b.Here, b.Keep, b.Hidden)
}

// Leaving is one address from which pods leave the cluster.
type Leaving struct {
	Addr   netip.Addr
	Slot   uint32         // its number, 1 to 4095
	Here   bool           // this node is the gateway: it writes the address
	Hop    *Hop           // the way to the node that is; nil with Here false: nobody is, and nothing leaves
	Except []netip.Prefix // destinations that are reached as without a gateway
}

// String prints "203.0.113.7 slot 12 via 10.0.0.2 dev eth0".
func (l *Leaving) String() string {
	way := "from nowhere"
	switch {
	case l.Here:
		way = "from here"
	case l.Hop != nil:
		way = l.Hop.String()
	}
	text := fmt.Sprintf("%s slot %d %s", l.Addr, l.Slot, way)
	if len(l.Except) > 0 {
		text += fmt.Sprintf(" except to %v", l.Except)
	}
	return text
}

// Leaver is an address of a pod that leaves from an address of a gateway.
type Leaver struct{ Addr, As netip.Addr }

// String prints "10.244.1.5 leaves as 203.0.113.7".
func (l Leaver) String() string { return fmt.Sprintf("%s leaves as %s", l.Addr, l.As) }
