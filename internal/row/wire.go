package row

import (
	"encoding/base64"
	"fmt"
	"net/netip"
)

// WireKey is a public key of WireGuard. No row holds a private one: rows print themselves.
type WireKey [32]byte

// String prints the key as wg(8) does.
func (k WireKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// WireDevice is what our link of WireGuard is known by. The driver reads the private key that belongs to Public from its file.
type WireDevice struct {
	Public WireKey
	Port   uint16 // UDP, of both families
}

// Key is the link.
func (d WireDevice) Key() LinuxKey { return LinuxKey{Kind: LinuxWireDevice, Name: WireName} }

// String prints the device like wg(8)'s set command, with its public key.
func (d WireDevice) String() string {
	return fmt.Sprintf("wg %s public-key %s listen-port %d", WireName, d.Public, d.Port)
}

// WirePeer is another node's key.
type WirePeer struct {
	Public    WireKey
	Endpoint  netip.AddrPort // zero: it calls first
	Keepalive uint16         // seconds; 0: none
}

// Key is the link and the public key.
func (p WirePeer) Key() LinuxKey { return LinuxKey{Kind: LinuxWirePeer, Name: p.Public.String()} }

// String prints the peer as wg(8)'s set command.
func (p WirePeer) String() string {
	s := fmt.Sprintf("wg %s peer %s", WireName, p.Public)
	if p.Endpoint.IsValid() {
		s += " endpoint " + p.Endpoint.String()
	}
	if p.Keepalive > 0 {
		s += fmt.Sprintf(" persistent-keepalive %d", p.Keepalive)
	}
	return s
}

// WireAllowed says by which key packets from and to a prefix are encrypted. The kernel gives a prefix to one key, and the last one
// that is told gets it; so a prefix moves by one write.
type WireAllowed struct {
	Net    netip.Prefix // masked
	Public WireKey
}

// Key is the prefix.
func (a WireAllowed) Key() LinuxKey { return LinuxKey{Kind: LinuxWireAllowed, Net: a.Net} }

// String prints the prefix as an argument of wg(8).
func (a WireAllowed) String() string {
	return fmt.Sprintf("wg %s peer %s allowed-ips %s", WireName, a.Public, a.Net)
}
