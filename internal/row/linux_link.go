package row

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// LinkKind is the kind of a link as the kernel's rtnl_link_ops name it.
type LinkKind string

// The kinds of links that we make.
const (
	LinkBridge LinkKind = "bridge"
	LinkDummy  LinkKind = "dummy"
	LinkVxlan  LinkKind = "vxlan"
	LinkIPIP   LinkKind = "ipip"   // IPv4 in IPv4 (RFC 2003)
	LinkIP6Tnl LinkKind = "ip6tnl" // IPv6 in IPv6 (RFC 2473), without the encapsulation limit option

	LinkWireguard LinkKind = "wireguard" // encrypts in the kernel
	LinkTun       LinkKind = "tun"       // hands packets to a process, which encrypts them; stays when that goes
)

// Link is a network interface of ours. It is always up.
type Link struct {
	Name   string
	Kind   LinkKind
	MTU    int        // 0: what the kernel gives
	MAC    MAC        // zero: what the driver gives once, at creation
	Local  netip.Addr // outer source of a tunnel
	Remote netip.Addr // outer destination of an ipip or ip6tnl tunnel
	VNI    uint32     // of vxlan
	Port   uint16     // of vxlan; of ipip and ip6tnl: GUE to this port (0: bare IP in IP)
}

// Key is the link's name.
func (l Link) Key() LinuxKey { return LinuxKey{Kind: LinuxLink, Name: l.Name} }

// String prints the link as ip(8)'s add command.
func (l Link) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "link %s", l.Name)
	if l.MTU > 0 {
		fmt.Fprintf(&b, " mtu %d", l.MTU)
	}
	if l.MAC != (MAC{}) {
		fmt.Fprintf(&b, " address %s", l.MAC)
	}
	fmt.Fprintf(&b, " up type %s", l.Kind)
	if l.Kind == LinkVxlan {
		fmt.Fprintf(&b, " id %d local %s dstport %d nolearning", l.VNI, l.Local, l.Port)
		return b.String()
	}
	if l.Remote.IsValid() {
		fmt.Fprintf(&b, " remote %s local %s", l.Remote, l.Local)
	}
	if l.Port > 0 {
		fmt.Fprintf(&b, " encap gue encap-dport %d", l.Port)
	}
	return b.String()
}

// tunnelPrefix begins the name of every tunnel to one node.
const tunnelPrefix = "tun-"

// TunnelName names the tunnel to a node: "tun-" and eleven hex digits of SHA-256 over the address as text.
// The reference drops the separators before hashing, so that 10.0.11.1 and 10.0.1.11 share one name; here
// they count, which is why the digits differ from the reference's. Both are recognised as ours.
func TunnelName(remote netip.Addr) string {
	sum := sha256.Sum256([]byte(remote.String()))
	return tunnelPrefix + hex.EncodeToString(sum[:])[:11]
}

// LinkIsOurs tells from name and kind alone whether a link is one that we make.
func LinkIsOurs(name string, kind LinkKind) bool {
	switch name {
	case BridgeName:
		return kind == LinkBridge
	case DummyName:
		return kind == LinkDummy
	case VxlanName, Vxlan6Name:
		return kind == LinkVxlan
	case WireName:
		return kind == LinkWireguard || kind == LinkTun
	}
	return LinkNameIsOurs(name) && (kind == LinkIPIP || kind == LinkIP6Tnl)
}

// LinkNameIsOurs tells whether a name is one that our links have.
func LinkNameIsOurs(name string) bool {
	switch name {
	case BridgeName, DummyName, VxlanName, Vxlan6Name, WireName:
		return true
	}
	digits, ok := strings.CutPrefix(name, tunnelPrefix)
	return ok && len(digits) == 11 && strings.Trim(digits, "0123456789abcdef") == ""
}

// FouPort is a UDP port on which the kernel takes GUE packets of tunnels (fou module).
type FouPort struct {
	V6   bool
	Port uint16
}

// Key is the family and port.
func (f FouPort) Key() LinuxKey {
	return LinuxKey{Kind: LinuxFouPort, Num: uint32(f.Port), V6: f.V6}
}

// String prints the port as ip(8)'s fou command.
func (f FouPort) String() string {
	family := ""
	if f.V6 {
		family = " -6"
	}
	return fmt.Sprintf("fou port %d gue%s", f.Port, family)
}

// Addr is an address on a link of ours other than the bridge, whose addresses the CNI plugin gives.
type Addr struct {
	Dev string
	Net netip.Prefix // the address with its length, not masked
	// NoSource keeps the kernel from choosing the address as a source by itself: scope link in IPv4, a preferred
	// lifetime of zero in IPv6 (RFC 6724, rule 3).
	NoSource bool
}

// Key is the link and the address.
func (a Addr) Key() LinuxKey { return LinuxKey{Kind: LinuxAddr, Name: a.Dev, Net: a.Net} }

// String prints the address as ip(8)'s add command.
func (a Addr) String() string {
	s := fmt.Sprintf("addr %s dev %s", a.Net, a.Dev)
	switch {
	case a.NoSource && a.Net.Addr().Is4():
		s += " scope link"
	case a.NoSource:
		s += " preferred_lft 0"
	}
	return s
}

// Neigh is a permanent neighbour of a vxlan link: either an address's MAC (ip neigh) or, with Fdb set, the
// outer destination of a MAC (bridge fdb).
type Neigh struct {
	Dev  string
	Addr netip.Addr // the neighbour, or with Fdb the node that has the MAC
	MAC  MAC
	Fdb  bool
}

// Key is the link with the address, or with the MAC for a forwarding entry.
func (n Neigh) Key() LinuxKey {
	if n.Fdb {
		return LinuxKey{Kind: LinuxNeigh, Name: n.Dev, MAC: n.MAC}
	}
	return LinuxKey{Kind: LinuxNeigh, Name: n.Dev, Net: netip.PrefixFrom(n.Addr, n.Addr.BitLen())}
}

// String prints the entry as ip(8) or bridge(8) does.
func (n Neigh) String() string {
	if n.Fdb {
		return fmt.Sprintf("fdb %s dev %s dst %s", n.MAC, n.Dev, n.Addr)
	}
	return fmt.Sprintf("neigh %s dev %s lladdr %s", n.Addr, n.Dev, n.MAC)
}
