package row

import (
	"fmt"
	"net/netip"
	"strconv"
)

// RouteProtocol marks everything of ours that can carry a routing protocol number: routes (rtm_protocol)
// and rules (FRA_PROTOCOL, Linux 4.17). 17 is the number that kube-router has always used.
const RouteProtocol = 17

// The names of the links that we make. Tunnels to single nodes are named by TunnelName.
const (
	BridgeName = "kube-bridge"
	DummyName  = "kube-dummy-if"
	VxlanName  = "kube-vxlan"
	Vxlan6Name = "kube-vxlan6"
	WireName   = "kube-wg"
)

// SolicitMS is the time in ms, as a setting's text, between two questions for an Ethernet address on the bridge that pods share
// (RetransTimer of RFC 4861, whose default is 1000). Three are asked.
const SolicitMS = "100"

// Linux is a row of the kernel's network configuration: a Link, Addr, Neigh, FouPort, Route or Rule, or WireGuard's. One
// target holds them all because they depend on each other and have an order.
type Linux interface {
	Key() LinuxKey
	String() string
}

// LinuxKind is the kind of a Linux row, in the order in which rows are made.
type LinuxKind uint8

// The kinds of Linux rows. Rows are made in this order and removed in the reverse.
const (
	LinuxFouPort LinuxKind = iota + 1
	LinuxLink
	LinuxWireDevice
	LinuxWirePeer
	LinuxWireAllowed
	LinuxAddr
	LinuxNeigh
	LinuxRoute
	LinuxRule
)

var linuxKinds = [...]string{"", "fou", "link", "wg", "wg peer", "wg allowed-ips", "addr", "neigh", "route", "rule"}

// String names the object as ip(8) does.
func (k LinuxKind) String() string { return linuxKinds[k] }

// LinuxKey is the key of a Linux row: what the kernel itself tells two objects of a kind apart by.
type LinuxKey struct {
	Kind  LinuxKind
	Name  string       // of the link, or of the link that an address or neighbour is on; the key of a WirePeer
	Net   netip.Prefix // address, destination of a route, source of a rule
	Table Table        // of a route or rule
	Num   uint32       // metric of a route, priority of a rule, port of a FouPort
	Mark  uint32       // of a rule
	V6    bool         // of a rule or FouPort
	MAC   MAC          // of a forwarding entry
}

// String prints the key for people: "route 10.244.1.0/24 table main".
func (k LinuxKey) String() string {
	switch k.Kind {
	case LinuxAddr:
		return fmt.Sprintf("addr %s dev %s", k.Net, k.Name)
	case LinuxNeigh:
		if k.MAC != (MAC{}) {
			return fmt.Sprintf("fdb %s dev %s", k.MAC, k.Name)
		}
		return fmt.Sprintf("neigh %s dev %s", k.Net.Addr(), k.Name)
	case LinuxRoute:
		s := fmt.Sprintf("route %s table %s", single(k.Net), k.Table)
		if k.Num > 0 {
			s += fmt.Sprintf(" metric %d", k.Num)
		}
		return s
	case LinuxRule:
		return Rule{Priority: k.Num, V6: k.V6, Src: k.Net, Mark: k.Mark, Table: k.Table}.selector()
	case LinuxWireAllowed:
		return k.Kind.String() + " " + k.Net.String()
	case LinuxFouPort:
		return FouPort{V6: k.V6, Port: uint16(k.Num)}.String()
	}
	return k.Kind.String() + " " + k.Name
}

// Table is the number of a routing table.
type Table uint32

// The routing tables that we write to: the kernel's and, with the reference's numbers, ours.
const (
	TableMain     Table = 254
	TableLocal    Table = 255
	TablePods     Table = 77 // what pods send to other nodes, through tunnels
	TableDSR      Table = 78 // marked packets of DSR services: everything is local
	TableExternal Table = 79 // replies of DSR services from external addresses
)

// TableEgress is the table of the first slot of egress gateways less one: the way to the gateway of an address is in that of its slot.
const TableEgress Table = 7700

// String prints the table as ip(8) does.
func (t Table) String() string {
	switch t {
	case TableMain:
		return "main"
	case TableLocal:
		return "local"
	}
	return strconv.FormatUint(uint64(t), 10)
}

// MAC is a 48-bit Ethernet address. The zero MAC means none.
type MAC [6]byte

// String prints "02:00:0a:00:00:01".
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// single prints a host's prefix as a bare address, as ip(8) does.
func single(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "default"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}
