package row

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Ipvs is a row of the kernel's IPVS table: an IpvsServer, an IpvsDest or the IpvsTimeouts. One target holds
// them all, because a destination stands in its virtual server.
type Ipvs interface {
	Key() IpvsKey
	String() string
}

// IpvsFront is what a virtual server takes: packets to an address and port of a protocol, or packets with a
// firewall mark, one family each.
type IpvsFront struct {
	Addr     netip.Addr
	Port     uint16
	Protocol uint8  // IANA number
	Mark     uint32 // not 0: the firewall mark; then the fields above are zero
	V6       bool   // the family of marked packets
}

// IsV6 tells the family.
func (f IpvsFront) IsV6() bool { return f.V6 || f.Addr.Is6() }

// String prints the front as ipvsadm(8) takes it: "-t 10.96.0.10:53", "-f 5 -6".
func (f IpvsFront) String() string {
	if f.Mark == 0 {
		return ipvsProto(f.Protocol) + " " + netip.AddrPortFrom(f.Addr, f.Port).String()
	}
	text := fmt.Sprintf("-f %d", f.Mark)
	if f.V6 {
		text += " -6"
	}
	return text
}

func ipvsProto(p uint8) string {
	switch p {
	case 6:
		return "-t"
	case 17:
		return "-u"
	case 132:
		return "--sctp-service"
	}
	return fmt.Sprintf("--protocol-%d", p)
}

// IpvsKey is the key of an Ipvs row. A virtual server has no destination; the timeouts have neither.
type IpvsKey struct {
	Front IpvsFront
	To    netip.AddrPort
}

// String prints the key for people.
func (k IpvsKey) String() string {
	switch {
	case k == IpvsKey{}:
		return "timeouts"
	case k.To.IsValid():
		return k.Front.String() + " -r " + k.To.String()
	}
	return k.Front.String()
}

// IpvsFlags are the flags of a scheduler, IP_VS_SVC_F_SCHED1 to 3 (linux/ip_vs.h).
type IpvsFlags uint8

// The flags as mh and sh use them.
const (
	IpvsFallback IpvsFlags = 1 << iota // mh-fallback, sh-fallback: another destination where the hashed one takes none
	IpvsPort                           // mh-port, sh-port: the client's port is hashed too
	IpvsFlag3
)

// IpvsServer is a virtual server.
type IpvsServer struct {
	Front     IpvsFront
	Scheduler string
	Flags     IpvsFlags
	Persist   time.Duration // a client stays with its destination for so long; 0: it doesn't
	// Unmarked is a virtual server in a dump that does not carry our mark (see driver/ipvs): one of another
	// kube-router on our dummy link. Nobody can want it so.
	Unmarked bool
}

// Key is the front.
func (s IpvsServer) Key() IpvsKey { return IpvsKey{Front: s.Front} }

// String prints the virtual server as a line of ipvsadm -Sn.
func (s IpvsServer) String() string {
	text := fmt.Sprintf("-A %s -s %s", s.Front, s.Scheduler)
	if s.Persist > 0 {
		text += fmt.Sprintf(" -p %d", s.Persist/time.Second)
	}
	if flags := s.flags(); flags != "" {
		text += " -b " + flags
	}
	if s.Unmarked {
		text += " # of another program"
	}
	return text
}

func (s IpvsServer) flags() string {
	names := [...]string{"flag-1", "flag-2", "flag-3"}
	if s.Scheduler == "mh" || s.Scheduler == "sh" {
		names[0], names[1] = s.Scheduler+"-fallback", s.Scheduler+"-port"
	}
	var list []string
	for i, name := range names {
		if s.Flags&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, ",")
}

// IpvsMethod is how packets reach a destination (IP_VS_CONN_F_FWD_MASK).
type IpvsMethod uint8

// The methods that we use.
const (
	IpvsMasq   IpvsMethod = 0 // destination NAT
	IpvsTunnel IpvsMethod = 2 // IP in IP; replies go straight to the client
)

// String prints the method as ipvsadm's option.
func (m IpvsMethod) String() string {
	switch m {
	case IpvsMasq:
		return "-m"
	case IpvsTunnel:
		return "-i"
	case 3:
		return "-g"
	}
	return fmt.Sprintf("# method %d", uint8(m))
}

// IpvsDest is a destination (real server) of a virtual server.
type IpvsDest struct {
	Front  IpvsFront
	To     netip.AddrPort
	Method IpvsMethod
	Weight uint32        // 0: connections stay, no new ones come
	Grace  time.Duration // how long its connections may stay after its removal; 0: as the driver is told
}

// Key is the front and the destination.
func (d IpvsDest) Key() IpvsKey { return IpvsKey{Front: d.Front, To: d.To} }

// String prints the destination as a line of ipvsadm -Sn.
func (d IpvsDest) String() string {
	text := fmt.Sprintf("-a %s -r %s %s -w %d", d.Front, d.To, d.Method, d.Weight)
	if d.Method == IpvsTunnel {
		text += " --tun-type ipip"
	}
	return text
}

// IpvsTimeouts are how long IPVS remembers idle connections, for all virtual servers of the namespace. 0: the
// kernel's own choice stays.
type IpvsTimeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// Key is the key of the only row of its kind.
func (t IpvsTimeouts) Key() IpvsKey { return IpvsKey{} }

// String prints ipvsadm's command.
func (t IpvsTimeouts) String() string {
	return fmt.Sprintf("--set %d %d %d", t.TCP/time.Second, t.TCPFin/time.Second, t.UDP/time.Second)
}
