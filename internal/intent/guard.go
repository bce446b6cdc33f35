package intent

import (
	"net/netip"
)

// PortKind says what is known of a port, and so what may come in there.
type PortKind uint8

// The kinds of ports.
const (
	PodPort  PortKind = iota // what the pod is: its Ethernet address with its addresses
	FreePort                 // anything
)

// Port is a pod's port at a bridge of this node, and what the pod may be at it.
type Port struct {
	Kind  PortKind
	Name  string       // of the link at the node's end
	Pod   string       // "namespace/name"
	MAC   [6]byte      // Ethernet address of the pod's end
	Addrs []netip.Addr // that the pod may send from, its link-local address among them; sorted
}
