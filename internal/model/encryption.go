package model

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
)

// EncryptionSettings configure the encryption of what nodes send each other.
type EncryptionSettings struct {
	On      bool          // --encryption=wireguard
	Strict  bool          // --encryption-strict: what would leave in clear towards another node's pods is dropped
	Port    Port          // --wireguard-port: UDP, of this node
	KeyFile string        // --wireguard-key-file
	Rotate  time.Duration // --wireguard-rotate-every: how old a key may become, some time less; 0: any age
	Where   WireMode      // --wireguard-userspace; WireAuto is resolved at start, before a plan sees it
}

// WireMode says what carries WireGuard: the kernel, or a process beside the daemon.
type WireMode string

// The modes, as --wireguard-userspace spells them.
const (
	WireAuto   WireMode = "auto"
	WireKernel WireMode = "never"
	WireUser   WireMode = "always"
)

// WireKey is a public key of WireGuard (Curve25519, RFC 7748). The zero key is none.
type WireKey [32]byte

// ParseWireKey reads a key as wg(8) prints it: 44 letters of base64.
func ParseWireKey(s string) (WireKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(WireKey{}) {
		return WireKey{}, fmt.Errorf("%q is no key of WireGuard: 44 letters of base64", s)
	}
	if WireKey(b) == (WireKey{}) {
		return WireKey{}, fmt.Errorf("%q is no key of WireGuard: it is all zero", s)
	}
	return WireKey(b), nil
}

// String prints the key as wg(8) does.
func (k WireKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Short prints the first eight letters, by which people tell keys apart.
func (k WireKey) Short() string { return k.String()[:8] }

// NodeWire is how a Node is reached through WireGuard, by its annotations.
type NodeWire struct {
	Key       WireKey        // wireguard-key: by which its pods are reached; zero: it takes no part
	Also      WireKey        // wireguard-also: the next key, or the one before; zero: none
	Port      Port           // wireguard-port; 0: ours
	Endpoint  netip.AddrPort // node.wireguard.endpoint; zero: its own address and port
	Behind    bool           // node.wireguard.endpoint is "none": it is behind a NAT and calls first
	Keepalive uint16         // node.wireguard.keepalive: seconds; 0: none
	Revoked   []WireKey      // node.wireguard.revoked: keys that are nobody's any more
}

// WireIdentity is what this node is known by to others, as its key file has it.
type WireIdentity struct{ Key, Also WireKey }

// Ref names the one WireIdentity.
func (*WireIdentity) Ref() Ref { return Ref{Kind: KindIdentity, Name: Name{Name: "wireguard"}} }

// WireAnswer says that a peer with a key has shaken hands with this node since it became a peer.
type WireAnswer struct{ Key WireKey }

// Ref names the answer by the peer's key.
func (a *WireAnswer) Ref() Ref { return Ref{Kind: KindAnswer, Name: Name{Name: a.Key.String()}} }

// Identity is this node's, or the zero value while it is unknown.
func (m *Model) Identity() WireIdentity {
	if m.identity == nil {
		return WireIdentity{}
	}
	return *m.identity
}

// NodesWithKey are the Nodes that are known by a key, by name; several only where a disk was copied. The map is not to
// be changed.
func (m *Model) NodesWithKey(k WireKey) map[string]*Node { return m.nodesByKey[k] }

// keys are the keys that a Node is known by.
func (w *NodeWire) keys() []WireKey {
	var list []WireKey
	for _, k := range []WireKey{w.Key, w.Also} {
		if k != (WireKey{}) {
			list = append(list, k)
		}
	}
	return list
}
