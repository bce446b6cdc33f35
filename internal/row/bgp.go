package row

import (
	"fmt"
	"net/netip"
	"strings"
)

// Bgp is a row of the BGP speaker: a BgpSpeaker, BgpMember, BgpRule, BgpPolicy, BgpPath or BgpPeer. One target holds
// them all because they have an order: a peer must find the complete table when its session starts.
type Bgp interface {
	Key() BgpKey
	String() string
}

// BgpKind is the kind of a Bgp row, in the order in which rows are made.
type BgpKind uint8

// The kinds of Bgp rows. Rows are made in this order and removed in the reverse.
const (
	BgpKindSpeaker BgpKind = iota + 1
	BgpKindMember
	BgpKindRule
	BgpKindPolicy
	BgpKindPath
	BgpKindPeer
)

var bgpKinds = [...]string{"", "global", "defined-set", "rule", "policy", "path", "neighbor"}

// String names the object as the gobgp command does.
func (k BgpKind) String() string { return bgpKinds[k] }

// BgpKey is the key of a Bgp row.
type BgpKey struct {
	Kind     BgpKind
	Set      BgpSet       // of a member
	Net      netip.Prefix // member, path; a peer's address
	Min, Max uint8        // of a member: the lengths of prefixes within Net that it matches
	Import   bool         // of a policy or a rule
	Rule     string       // of a rule: its name
}

// String prints the key for people.
func (k BgpKey) String() string {
	switch k.Kind {
	case BgpKindMember:
		return BgpMember{k.Set, k.Net, k.Min, k.Max}.String()
	case BgpKindRule:
		return BgpRule{Import: k.Import, Name: k.Rule}.title()
	case BgpKindPolicy:
		return BgpPolicy{Import: k.Import}.name()
	case BgpKindPath:
		return "path " + k.Net.String()
	case BgpKindPeer:
		return "neighbor " + k.Net.Addr().String()
	}
	return k.Kind.String()
}

// MaxListen bounds the addresses that the speaker listens on.
const MaxListen = 8

// BgpSpeaker is the speaker itself. What is in it can't change while sessions stand: another value means
// another life of the speaker.
type BgpSpeaker struct {
	ASN       uint32
	RouterID  netip.Addr // IPv4
	Port      uint16
	Listen    [MaxListen]netip.Addr // from the first; none: every address
	MultiPath bool                  // equal paths are all used
}

// Key is the same for every speaker: there is one.
func (r BgpSpeaker) Key() BgpKey { return BgpKey{Kind: BgpKindSpeaker} }

// Addrs are the addresses to listen on.
func (r BgpSpeaker) Addrs() []netip.Addr {
	for i, a := range r.Listen {
		if !a.IsValid() {
			return r.Listen[:i]
		}
	}
	return r.Listen[:]
}

// String prints the speaker in the words of `gobgp global`.
func (r BgpSpeaker) String() string {
	s := fmt.Sprintf("global as %d router-id %s listen-port %d", r.ASN, r.RouterID, r.Port)
	if list := r.Addrs(); len(list) > 0 {
		s += fmt.Sprintf(" listen-addresses %s", list)
	}
	if r.MultiPath {
		s += " use-multipath"
	}
	return s
}

// BgpPath is a route that we originate.
type BgpPath struct {
	Prefix    netip.Prefix
	NextHop   netip.Addr
	LocalPref uint32 // 0: none, which counts as 100
}

// Key is the prefix.
func (r BgpPath) Key() BgpKey { return BgpKey{Kind: BgpKindPath, Net: r.Prefix} }

// String prints the path in the words of `gobgp global rib add`.
func (r BgpPath) String() string {
	s := fmt.Sprintf("path %s nexthop %s", r.Prefix, r.NextHop)
	if r.LocalPref > 0 {
		s += fmt.Sprintf(" local-pref %d", r.LocalPref)
	}
	return s
}

// BgpSecret is a password. It never prints.
type BgpSecret string

// String hides the secret.
func (BgpSecret) String() string { return "(secret)" }

// GoString hides the secret from %#v.
func (BgpSecret) GoString() string { return "(secret)" }

// MarshalText hides the secret from JSON.
func (BgpSecret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// BgpBFD are the parameters of a BFD session (RFC 5880). The zero value is none.
type BgpBFD struct {
	Port       uint16
	Multiplier uint8
	Tx, Rx     uint32 // microseconds
}

// BgpPeer is a neighbour.
type BgpPeer struct {
	Addr      netip.Addr
	ASN       uint32
	LocalASN  uint32     // what we call ourselves in this session; 0: as everywhere
	Node      string     // the Node that it is; empty: a router outside of the cluster
	Local     netip.Addr // our end
	Port      uint16     // of the peer
	TTL       uint8      // of a peer that is not directly connected; 0: directly connected
	MinTTL    uint8      // what comes with a lesser TTL is no packet of the peer's (RFC 5082); 0: any. A node is held to it when it says so
	Limit     uint32     // prefixes that it may teach; 0: any number
	Hold      uint32     // seconds
	Keepalive uint32     // seconds; 0: a third of Hold
	V4, V6    bool       // the families of routes that are exchanged
	Cluster   netip.Addr // the peer is our route reflector client in this cluster (RFC 4456); zero: it isn't
	Restart   uint16     // seconds of graceful restart (RFC 4724); 0: off
	Deferral  uint16     // seconds after a restart until we announce, at most
	BFD       BgpBFD
	Password  BgpSecret // TCP MD5 (RFC 2385); empty: none
}

// Key is the peer's address.
func (r BgpPeer) Key() BgpKey { return BgpPeerKey(r.Addr) }

// BgpPeerKey is the key of the peer at an address.
func BgpPeerKey(a netip.Addr) BgpKey {
	return BgpKey{Kind: BgpKindPeer, Net: netip.PrefixFrom(a, a.BitLen())}
}

// String prints the peer in the words of `gobgp neighbor add`, without the password.
func (r BgpPeer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "neighbor %s as %d local %s port %d hold-time %d family", r.Addr, r.ASN, r.Local, r.Port, r.Hold)
	for _, f := range []struct {
		on   bool
		name string
	}{{r.V4, " ipv4"}, {r.V6, " ipv6"}} {
		if f.on {
			b.WriteString(f.name)
		}
	}
	if r.Node != "" {
		b.WriteString(" node " + r.Node)
	}
	if r.TTL > 0 {
		fmt.Fprintf(&b, " multihop-ttl %d", r.TTL)
	}
	if r.LocalASN > 0 {
		fmt.Fprintf(&b, " local-as %d", r.LocalASN)
	}
	if r.Keepalive > 0 {
		fmt.Fprintf(&b, " keepalive %d", r.Keepalive)
	}
	if r.Cluster.IsValid() {
		fmt.Fprintf(&b, " route-reflector-client %s", r.Cluster)
	}
	if r.Restart > 0 {
		fmt.Fprintf(&b, " graceful-restart %d/%d", r.Restart, r.Deferral)
	}
	if r.BFD != (BgpBFD{}) {
		fmt.Fprintf(&b, " bfd port %d multiplier %d tx %dus rx %dus", r.BFD.Port, r.BFD.Multiplier, r.BFD.Tx, r.BFD.Rx)
	}
	if r.Password != "" {
		b.WriteString(" password (secret)")
	}
	if r.MinTTL > 0 {
		fmt.Fprintf(&b, " ttl-security %d", r.MinTTL)
	}
	if r.Limit > 0 {
		fmt.Fprintf(&b, " prefix-limit %d", r.Limit)
	}
	return b.String()
}
