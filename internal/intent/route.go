package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Encap is how packets travel through a tunnel.
type Encap string

// The encapsulations, as --overlay-encap spells them.
const (
	IPIP  Encap = "ipip"  // IP in IP (RFC 2003, RFC 2473)
	FOU   Encap = "fou"   // IP in GUE in UDP (draft-ietf-intarea-gue), as the reference's fou
	VXLAN Encap = "vxlan" // RFC 7348
)

// Overhead is how many bytes a tunnel adds to a packet.
func (e Encap) Overhead(v6 bool) int {
	outer := 20 // IPv4 header
	if v6 {
		outer = 40
	}
	switch e {
	case FOU:
		return outer + 8 + 4 // UDP, GUE without options
	case VXLAN:
		return outer + 8 + 8 + 14 // UDP, VXLAN, inner Ethernet
	case WireGuard:
		return outer + 8 + 16 + 16 // UDP, header, authentication tag
	}
	return outer
}

// Tunnel is a way to one other node that needs nothing of the routers between.
type Tunnel struct {
	Encap  Encap
	Local  netip.Addr
	Remote netip.Addr
	Port   uint16 // UDP destination port of fou and vxlan
	MTU    int    // 0: unknown
}

// String prints "ipip 10.0.0.1>10.0.1.2".
func (t Tunnel) String() string { return fmt.Sprintf("%s %s>%s", t.Encap, t.Local, t.Remote) }

// Hop is one way to a prefix: straight through a link, or through a tunnel.
type Hop struct {
	Via    netip.Addr
	Dev    string  // the link in whose subnet Via is; empty with a tunnel
	Tunnel *Tunnel // nil: straight
}

// String prints "via 10.0.0.2 dev eth0" or "via ipip 10.0.0.1>10.0.1.2".
func (h Hop) String() string {
	if h.Tunnel != nil {
		return "via " + h.Tunnel.String()
	}
	return "via " + h.Via.String() + " dev " + h.Dev
}

// Compare orders hops by address.
func (h Hop) Compare(o Hop) int {
	return cmp.Or(h.Via.Compare(o.Via), strings.Compare(h.Dev, o.Dev))
}

// Route says how one prefix is reached.
type Route struct {
	Prefix netip.Prefix
	Hops   []Hop      // sorted; several share the traffic
	Refuse bool       // ours: what nothing more specific or local takes is refused, so that it can't loop
	Source netip.Addr // the node's own packets' source; zero: by the link
	Spare  *Tunnel    // stands ready beside the hops and leads nowhere: the other end may use it before we do, or longer
}

// Key is the prefix.
func (r *Route) Key() netip.Prefix { return r.Prefix }

// String prints the prefix and the hops.
func (r *Route) String() string {
	if r.Refuse {
		return "refuse rest of " + r.Prefix.String()
	}
	parts := []string{r.Prefix.String()}
	for _, h := range r.Hops {
		parts = append(parts, h.String())
	}
	return strings.Join(parts, " ")
}

// PodTable says that packets from these pod ranges see the tunnels even to the nodes' own addresses.
type PodTable struct{ Sources []netip.Prefix }

// String prints the ranges.
func (t *PodTable) String() string { return fmt.Sprintf("tunnel nodes for %v", t.Sources) }

// TunnelGuard says who may speak to this node's tunnels: the nodes alone (see Peer), and only for what is not of this node.
type TunnelGuard struct {
	V4, V6 bool           // the families of tunnels
	Encap  Encap          // of all tunnels
	Port   uint16         // UDP, of fou and vxlan
	Own    []netip.Prefix // addresses that nothing out of a tunnel comes from: this node's pods', and Services'; none overlaps another
}
