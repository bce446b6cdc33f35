package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Front is where a Service listens: the key of an intent.Service.
type Front struct {
	Addr     netip.Addr
	Port     uint16
	Protocol uint8 // IANA number: 6 TCP, 17 UDP, 132 SCTP
}

// String prints "10.96.0.10:53/udp".
func (f Front) String() string {
	return netip.AddrPortFrom(f.Addr, f.Port).String() + "/" + ProtocolName(f.Protocol)
}

// Compare orders fronts by address, port, protocol.
func (f Front) Compare(o Front) int {
	return cmp.Or(f.Addr.Compare(o.Addr), cmp.Compare(f.Port, o.Port), cmp.Compare(f.Protocol, o.Protocol))
}

// ProtocolName spells a transport protocol in lower case.
func ProtocolName(p uint8) string {
	switch p {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 132:
		return "sctp"
	}
	return fmt.Sprintf("proto-%d", p)
}

// FrontKind tells what sort of address a front has. It decides who may claim the front when several do
// (lower kinds first) and which addresses must be bound on the node.
type FrontKind uint8

// The kinds of front, in the order of their rank.
const (
	ClusterFront  FrontKind = iota // a cluster IP
	NodeFront                      // a node port on one of the node's addresses
	BalancerFront                  // an address of status.loadBalancer.ingress
	ExternalFront                  // an address of spec.externalIPs
)

// String names the kind.
func (k FrontKind) String() string {
	return [...]string{"cluster", "node", "balancer", "external"}[k]
}

// Scheduler is how a backend is chosen, as IPVS names it. Empty: the engine's default.
type Scheduler string

// Service is one front of a Kubernetes Service with the backends that answer, after traffic policy,
// topology, readiness and terminating fallback.
type Service struct {
	Front
	Kind     FrontKind
	Owner    Name      // of the Service
	PortName string    // the name of its port
	Backends []Backend // for clients of the cluster and, where Near is nil, for everybody; sorted; empty: refuse
	// Silent says that Backends is empty because this node has none, while others have (internalTrafficPolicy
	// Local): clients are dropped, as the API says, not refused.
	Silent bool
	// Near are the backends for clients outside the cluster when that is another list: externalTrafficPolicy
	// Local. Far says that it is in force, since Near may be empty: then outside clients are dropped, so that
	// the balancer's health check, not a reset, moves them.
	Near []Backend
	Far  bool
	// Keep are endpoints that serve but get no new connections here: draining ones while others are ready,
	// those of another zone or, under Local policy, of another node. Flows that they have live on.
	Keep       []Backend
	KeepSource bool           // outside clients' addresses are kept (externalTrafficPolicy Local)
	Masquerade bool           // every client's address is replaced by the node's (--masquerade-all)
	Sources    []netip.Prefix // the clients that may use a balancer front; empty: everybody
	Affinity   time.Duration  // ClientIP affinity with this timeout; 0: none
	Scheduler  Scheduler
	Flags      []string // scheduler flags: mh-fallback, mh-port
	DSR        bool     // replies go straight from the pod (IPVS tunnel mode)
	Hairpin    bool     // a backend that reaches itself through the front gets its connection back
}

// Name names an object of a namespace.
type Name struct{ Namespace, Name string }

// String prints "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// MarshalText is how it stands in JSON: as String prints it.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Backend is one endpoint of a Service.
type Backend struct {
	Addr netip.Addr
	Port uint16
	// Weight is the share that was asked for it, where the scheduler goes by weights; 0: none was.
	Weight uint16
	Local  bool          // runs on this node
	Pod    string        // "namespace/name" when it is a pod
	Grace  time.Duration // of a pod on its way out: how long its connections may take; 0: unknown
}

// String prints "10.244.1.5:8080", and "10.244.1.5:8080*3" with a weight.
func (b Backend) String() string {
	text := netip.AddrPortFrom(b.Addr, b.Port).String()
	if b.Weight > 0 {
		text += fmt.Sprintf("*%d", b.Weight)
	}
	return text
}

// Compare orders backends by address and port.
func (b Backend) Compare(o Backend) int {
	return cmp.Or(b.Addr.Compare(o.Addr), cmp.Compare(b.Port, o.Port))
}

// SortBackends sorts backends and drops duplicates of one address and port.
func SortBackends(list []Backend) []Backend {
	slices.SortFunc(list, Backend.Compare)
	return slices.CompactFunc(list, func(a, b Backend) bool { return a.Compare(b) == 0 })
}

// Key is the front.
func (s *Service) Key() Front { return s.Front }

// String prints one line: the front, what is special, and the backends.
func (s *Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", s.Front, s.Kind, s.Owner)
	if s.PortName != "" {
		b.WriteString(":" + s.PortName)
	}
	if s.Affinity > 0 {
		fmt.Fprintf(&b, " affinity=%s", s.Affinity)
	}
	if s.Scheduler != "" {
		fmt.Fprintf(&b, " scheduler=%s", strings.Join(append([]string{string(s.Scheduler)}, s.Flags...), ","))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{s.KeepSource, "keep-source"}, {s.Masquerade, "masquerade"}, {s.DSR, "dsr"}, {s.Hairpin, "hairpin"}, {s.Silent, "silent"}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	if len(s.Sources) > 0 {
		fmt.Fprintf(&b, " from=%v", s.Sources)
	}
	fmt.Fprintf(&b, " -> %v", s.Backends)
	if s.Far {
		fmt.Fprintf(&b, " outside -> %v", s.Near)
	}
	if len(s.Keep) > 0 {
		fmt.Fprintf(&b, " keep %v", s.Keep)
	}
	return b.String()
}
