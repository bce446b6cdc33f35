package intent

import (
	"net/netip"
)

// Answer is an address that this node answers for on a link, by ARP or neighbour discovery.
type Answer struct {
	Addr netip.Addr
	Link string
}

// Watch is a node whose silence would be ours to answer.
type Watch struct {
	Node string
	Addr netip.Addr // one of the node's addresses
	Link string     // the link of ours to watch it on; empty: by whatever route
}
