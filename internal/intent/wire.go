package intent

import (
	"encoding/base64"
	"fmt"
	"net/netip"
)

// WireGuard is a tunnel that encrypts. Its link is one for all nodes and both families.
const WireGuard Encap = "wireguard"

// WireKey is a public key of WireGuard.
type WireKey [32]byte

// String prints the key as wg(8) does.
func (k WireKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Wire is this node's end of what is encrypted.
type Wire struct {
	Key  WireKey
	Port uint16 // UDP
	MTU  int    // of what is inside; 0: unknown
	User bool   // a process carries it; the kernel has no WireGuard
	Pods []netip.Prefix
}

// String prints the key and what it is spoken with.
func (w *Wire) String() string {
	return fmt.Sprintf("wireguard %s port %d mtu %d, tunnel nodes for %v", w.Key, w.Port, w.MTU, w.Pods)
}

// WirePeer is another node that this one speaks with through WireGuard.
type WirePeer struct {
	Node      string
	Keys      []WireKey      // the first has the addresses; others may call and get nothing else
	Endpoint  netip.AddrPort // zero: the other calls first
	Keepalive uint16         // seconds; 0: none
	Allowed   []netip.Prefix // what may come from it, sorted
	Hosts     []netip.Addr   // its own addresses, to which this node's pods speak through the tunnel, sorted
	Steered   bool           // what goes there takes the tunnel; otherwise it may only come from there
}

// String prints the node with its key and addresses.
func (p *WirePeer) String() string {
	return fmt.Sprintf("wireguard peer %s %v at %s keepalive %d allowed %v", p.Node, p.Keys, p.Endpoint, p.Keepalive, p.Allowed)
}

// WireGuardian says what must not be on the wire in clear.
type WireGuardian struct {
	V4, V6 bool
	Pods   []netip.Prefix // all nodes' pods; none overlaps another
	Own    []netip.Prefix // this node's pods; none overlaps another
	Drop   bool           // strict: it ends; otherwise it is counted
}

// String prints the ranges.
func (g *WireGuardian) String() string {
	what := "count"
	if g.Drop {
		what = "drop"
	}
	return fmt.Sprintf("%s what is in clear between %v and other pods of %v", what, g.Own, g.Pods)
}
