package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Speaker is our BGP speaker.
type Speaker struct {
	ASN      uint32
	RouterID netip.Addr // IPv4
	Port     uint16
	Listen   []netip.Addr // sorted; empty: every address
}

// String prints "AS 64512 router-id 10.0.0.1 at [10.0.0.1] port 179".
func (s *Speaker) String() string {
	return fmt.Sprintf("AS %d router-id %s at %v port %d", s.ASN, s.RouterID, s.Listen, s.Port)
}

// BFD are the parameters of a BFD session (RFC 5880).
type BFD struct {
	Port       uint16
	Multiplier uint8
	Tx, Rx     time.Duration
}

// BFDPort is the UDP port at which this node takes BFD packets (RFC 5881 section 4), whatever port its peers take theirs at.
const BFDPort = 3784

// BFDGuard says whose BFD packets this node takes: its peers' alone, and with the TTL that theirs have (RFC 5881 section 5,
// RFC 5082). Whoever may send others can end a session.
type BFDGuard struct {
	Nodes bool           // the nodes are peers (see Peer)
	Near  []netip.Prefix // this node's subnets: nodes in them are one hop away; none overlaps another
	Peers []BFDPeer      // outside, by TTL and address
}

// BFDPeer is a router outside that BFD watches.
type BFDPeer struct {
	Addr   netip.Addr
	MinTTL uint8 // 0: any
}

// String prints one line.
func (g *BFDGuard) String() string {
	s := "BFD from"
	if g.Nodes {
		s += fmt.Sprintf(" nodes, those in %v with TTL 255;", g.Near)
	}
	for _, p := range g.Peers {
		s += fmt.Sprintf(" %s with TTL %d;", p.Addr, p.MinTTL)
	}
	return s
}

// Password is a secret that never prints.
type Password string

// String hides the password.
func (Password) String() string { return "(secret)" }

// GoString hides the password from %#v.
func (Password) GoString() string { return "(secret)" }

// Neighbor is a BGP peer: another node, or a router outside of the cluster.
type Neighbor struct {
	Addr      netip.Addr
	ASN       uint32
	LocalASN  uint32 // what we call ourselves in this session; 0: as everywhere
	Node      string // the Node that it is; empty: outside
	Local     netip.Addr
	Port      uint16
	TTL       uint8  // 0: directly connected
	MinTTL    uint8  // what comes with a lesser TTL isn't the peer's (RFC 5082); 0: any
	Limit     uint32 // prefixes that it may teach; 0: any number
	Hold      time.Duration
	Keepalive time.Duration // 0: a third of Hold
	V4, V6    bool          // the families that are exchanged
	Cluster   netip.Addr    // we reflect routes to it, in this cluster (RFC 4456); zero: we don't
	Restart   time.Duration // graceful restart (RFC 4724); 0: off
	Deferral  time.Duration
	BFD       *BFD
	Password  Password
	Shutdown  bool         // it is asked to use other ways than those through us (RFC 8326)
	Inside    bool         // a router of our own AS
	Import    []TaughtRule // what is taken of it, of what isn't refused of all
	Withhold  bool         // not everything that is advertised to routers is for it (see Withheld)
}

// Key is the peer's address.
func (n *Neighbor) Key() netip.Addr { return n.Addr }

// String prints what is special about the peer.
func (n *Neighbor) String() string {
	s := fmt.Sprintf("peer %s AS %d from %s", n.Addr, n.ASN, n.Local)
	for _, f := range []struct {
		on   bool
		text string
	}{
		{n.V4, " IPv4"}, {n.V6, " IPv6"}, {n.Node != "", " node " + n.Node}, {n.Port != 179, fmt.Sprintf(" port %d", n.Port)},
		{n.TTL > 0, fmt.Sprintf(" ttl %d", n.TTL)},
		{n.MinTTL > 0, fmt.Sprintf(" ttl-security %d", n.MinTTL)}, {n.Limit > 0, fmt.Sprintf(" prefix-limit %d", n.Limit)}, {n.Hold != 90*time.Second, " hold " + n.Hold.String()},
		{n.LocalASN > 0, fmt.Sprintf(" local-as %d", n.LocalASN)}, {n.Keepalive > 0, " keepalive " + n.Keepalive.String()},
		{n.Cluster.IsValid(), " client in cluster " + n.Cluster.String()},
		{n.Restart > 0, fmt.Sprintf(" restart %s/%s", n.Restart, n.Deferral)}, {n.Password != "", " password"},
		{len(n.Import) > 0, fmt.Sprintf(" import %v", n.Import)}, {n.Shutdown, " graceful-shutdown"}, {n.Withhold, " withhold"},
	} {
		if f.on {
			s += f.text
		}
	}
	if n.BFD != nil {
		s += fmt.Sprintf(" bfd %d %s/%s x%d", n.BFD.Port, n.BFD.Tx, n.BFD.Rx, n.BFD.Multiplier)
	}
	return s
}

// AnnounceKind tells to whom a prefix is announced.
type AnnounceKind uint8

// The kinds of announcements.
const (
	AnnouncePods    AnnounceKind = iota // our pod range: to nodes, and outside where the exchange says so
	AnnouncePodsOut                     // what stands for pod ranges outside: not to nodes
	AnnounceVIP                         // an address or a range of Services: outside only
)

// String names the kind.
func (k AnnounceKind) String() string { return [...]string{"pods", "pods outside", "service"}[k] }

// Announce is a prefix that we originate.
type Announce struct {
	Kind      AnnounceKind
	Prefix    netip.Prefix
	NextHop   netip.Addr
	LocalPref uint32 // 0: none
	Via       string // the BGPAdvertisement that says to whom; empty: flags, and thereby to every router
}

// Key is the prefix.
func (a *Announce) Key() netip.Prefix { return a.Prefix }

// String prints "pods 10.244.1.0/24 via 10.0.0.1".
func (a *Announce) String() string {
	s := fmt.Sprintf("%s %s via %s", a.Kind, a.Prefix, a.NextHop)
	if a.LocalPref > 0 {
		s += fmt.Sprintf(" local-pref %d", a.LocalPref)
	}
	if a.Via != "" {
		s += " by " + a.Via
	}
	return s
}

// Compare orders announcements by prefix, then kind, then who says so.
func (a *Announce) Compare(b *Announce) int {
	return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Via, b.Via))
}

// Exchange is the policy of the exchange with peers: what of our announcements goes where with which
// attributes, and what is refused of theirs.
type Exchange struct {
	V4, V6       bool
	PodsOutside  bool // pod ranges are announced outside
	Aggregate    bool // outside, what stands for the pod ranges (AnnouncePodsOut) in their place
	Reflect      bool // what one node teaches us goes on to others
	NextHopSelf  bool // outside, our end of the session is the next hop
	PrependAS    uint32
	PrependTimes uint8
	MED          *uint32
	Communities  []uint32
	Large        [][3]uint32
	Reject       []netip.Prefix // refused with everything longer inside, whoever announces it
	Default      bool           // routers outside may teach a default route
}

// String prints what is special.
func (e *Exchange) String() string {
	s := fmt.Sprintf("exchange v4=%t v6=%t pods-outside=%t", e.V4, e.V6, e.PodsOutside)
	for _, f := range []struct {
		on   bool
		text string
	}{
		{e.Aggregate, " aggregate"}, {e.Reflect, " reflect"}, {e.NextHopSelf, " next-hop-self"},
		{e.PrependTimes > 0, fmt.Sprintf(" prepend %d x%d", e.PrependAS, e.PrependTimes)},
		{len(e.Communities) > 0, fmt.Sprintf(" communities %d", e.Communities)},
		{len(e.Large) > 0, fmt.Sprintf(" large %d", e.Large)}, {len(e.Reject) > 0, fmt.Sprintf(" reject %v", e.Reject)},
		{e.Default, " default"},
	} {
		if f.on {
			s += f.text
		}
	}
	if e.MED != nil {
		s += fmt.Sprintf(" med %d", *e.MED)
	}
	return s
}

// Held is a range in which routers outside may teach nothing: prefixes in it whose own length is from Min to Max bits.
type Held struct {
	Prefix   netip.Prefix
	Min, Max uint8
}

// BGP is everything about the speaker but the addresses of Services.
type BGP struct {
	Speaker   *Speaker
	Exchange  *Exchange
	Neighbors []*Neighbor // sorted by address
	Announces []*Announce // sorted by prefix
	Outlets   []*Outlet   // in the order in which they are asked
	Withheld  []*Withheld // of Announces
	Held      []*Held     // by this node and the cluster as a whole; what other nodes hold is planned node by node
}

// Verdict is what nodes find of an object about BGP, for its status.
type Verdict struct {
	Kind, Name string
	Generation int64 // of the object that it is about
	Nodes      int64 // that it selects
	Reason     string
	Why        string // it doesn't count as it is written; empty: it does
}

// String prints "BGPPeer tor1: 3 nodes".
func (v Verdict) String() string {
	s := fmt.Sprintf("%s %s: %d nodes", v.Kind, v.Name, v.Nodes)
	if v.Why != "" {
		s += ", " + v.Why
	}
	return s
}
