package intent

import (
	"fmt"
	"net/netip"
)

// Answer is an address that this node answers for on a link, by ARP or neighbour discovery.
type Answer struct {
	Addr netip.Addr
	Link string
}

// String prints "192.0.2.7 on eth0".
func (a Answer) String() string { return fmt.Sprintf("%s on %s", a.Addr, a.Link) }

// Watch is a node whose silence would be ours to answer.
type Watch struct {
	Node string
	Addr netip.Addr // one of the node's addresses
	Link string     // the link of ours to watch it on; empty: by whatever route
}
