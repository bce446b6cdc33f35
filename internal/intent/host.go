package intent

import (
	"fmt"
	"net/netip"
)

// Host says how this node is prepared for pods.
type Host struct {
	V4, V6  bool     // the families that are forwarded
	Uplinks []string // links with the node's addresses, sorted
	Bridge  bool     // pods hang on our bridge
	MTU     int      // of the bridge and of pods; 0: unknown or not managed
	Bridged bool     // bridged packets pass the firewall too, so that policies see pods of one node
	Proxy   bool     // Services are translated here
	CNI     *CNI     // nil: the CNI file isn't ours to write
}

// CNI says what the CNI configuration file must contain.
type CNI struct {
	File   string
	Ranges []netip.Prefix // at most one per family, IPv4 first
	MTU    int            // 0: the plugin's default
	Socket string         // of the daemon, for the plugin that waits for the firewall; empty: not chained
	Own    bool           // that plugin connects pods too, in place of the others
}

// String prints what is special.
func (h *Host) String() string {
	s := fmt.Sprintf("forward v4=%t v6=%t uplinks=%v bridge=%t mtu=%d bridged=%t proxy=%t",
		h.V4, h.V6, h.Uplinks, h.Bridge, h.MTU, h.Bridged, h.Proxy)
	if h.CNI != nil {
		s += fmt.Sprintf(" cni=%s ranges=%v mtu=%d socket=%s", h.CNI.File, h.CNI.Ranges, h.CNI.MTU, h.CNI.Socket)
		if h.CNI.Own {
			s += " plugin=own"
		}
	}
	return s
}

// Egress says which packets leave with the node's address: those from Pods to anywhere but Keep and what the
// nodes add to it.
type Egress struct {
	Pods []netip.Prefix // this node's pod ranges; none overlaps another
	Keep []netip.Prefix // destinations that see pod addresses; none overlaps another, or a node's
	// Refuse are service ranges in which nobody but Services has an address: what no Service takes isn't forwarded.
	Refuse []netip.Prefix
}

// String prints the ranges.
func (e *Egress) String() string {
	return fmt.Sprintf("masquerade %v except to %v, refuse to %v", e.Pods, e.Keep, e.Refuse)
}

// Peer says by which addresses a node, be it ours, is known. It and its pods see the addresses of our pods.
type Peer struct {
	Ranges []netip.Prefix // of its pods, which see pod addresses; none lies within another, of whatever node
	Away   []netip.Prefix // of its pods, if it is another node; none lies within another, of whatever node. Clients of Services have our address there
	Addrs  []netip.Addr
}

// String prints the ranges and addresses.
func (p *Peer) String() string {
	return fmt.Sprintf("node at %v, no masquerade to %v, away %v", p.Addrs, p.Ranges, p.Away)
}
