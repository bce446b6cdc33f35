package intent

import (
	"fmt"
	"net/netip"
)

// Resolvers are those whose answers tell what domain names stand for. Answers of theirs to pods that learn are held until somebody
// has read them.
type Resolvers struct {
	V4, V6   bool
	ByTarget bool // the kernel knows how to hold a packet by the target of xtables alone
	At       []Resolver
}

// Resolver is where one is asked.
type Resolver struct {
	Addr     netip.Addr
	Protocol uint8
	Port     uint16
}

// String prints "10.96.0.10 udp/53".
func (r Resolver) String() string {
	return fmt.Sprintf("%s %s/%d", r.Addr, ProtocolName(r.Protocol), r.Port)
}
