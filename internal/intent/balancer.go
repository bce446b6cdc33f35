package intent

import (
	"fmt"
	"net/netip"
)

// Balancer gives one LoadBalancer Service its addresses, at most one of each family.
type Balancer struct {
	Namespace, Name string
	UID             string     // of the Service; one of the same name that comes after it is another
	V4, V6          netip.Addr // the zero Addr: none
	Shares          bool       // others that share may have the same addresses
}

// String prints "default/web 192.0.2.7 2001:db8::7".
func (b Balancer) String() string {
	s := b.Namespace + "/" + b.Name
	for _, a := range []netip.Addr{b.V4, b.V6} {
		if a.IsValid() {
			s += fmt.Sprint(" ", a)
		}
	}
	return s
}
