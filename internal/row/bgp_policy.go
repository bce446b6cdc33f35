package row

import (
	"fmt"
	"net/netip"
	"strings"
)

// BgpSet names a defined set: of prefixes, or of peers. The names are those that kube-router has always
// used, so that `gobgp policy prefix` and `gobgp policy neighbor` show what people know.
type BgpSet string

// The sets of prefixes and of peers. Each has a twin for IPv6; a set of peers holds peers by the family of
// their address.
const (
	SetPods      BgpSet = "podcidrdefinedset"            // our pod ranges
	SetPodsOut   BgpSet = "podaggregatedefinedset"       // what stands for them outside of the cluster
	SetVIPs      BgpSet = "servicevipsdefinedset"        // addresses of Services
	SetRejected  BgpSet = "customimportrejectdefinedset" // refused whoever announces it
	SetDefaults  BgpSet = "defaultroutedefinedset"
	SetAccepted  BgpSet = "customimportacceptdefinedset" // taken from routers outside whatever follows
	SetHeld      BgpSet = "heldrangesdefinedset"         // not for routers outside to teach
	SetInternals BgpSet = "iBGPpeerset"
	SetExternals BgpSet = "externalpeerset"
	SetPeers     BgpSet = "allpeerset" // every address, and thereby every peer; our own paths come from none
)

// V6 is the twin of a set for IPv6.
func (s BgpSet) V6() BgpSet { return s + "v6" }

// Of is the set, or its twin, that takes an address of a's family.
func (s BgpSet) Of(a netip.Addr) BgpSet {
	if a.Is4() {
		return s
	}
	return s.V6()
}

// Peers tells whether a set holds peers.
func (s BgpSet) Peers() bool {
	s = BgpSet(strings.TrimSuffix(string(s), "v6"))
	return s == SetInternals || s == SetExternals || s == SetPeers
}

// Imports tells whether a set decides what is learned, and not what is announced alone.
func (s BgpSet) Imports() bool {
	s = BgpSet(strings.TrimSuffix(string(s), "v6"))
	return s == SetVIPs || s == SetRejected || s == SetDefaults || s.outside()
}

// ImportsOutside tells whether a set decides what is learned of routers outside alone: nodes don't teach each other
// addresses of Services.
func (s BgpSet) ImportsOutside() bool {
	s = BgpSet(strings.TrimSuffix(string(s), "v6"))
	return s == SetVIPs || s.outside()
}

func (s BgpSet) outside() bool { return s == SetAccepted || s == SetHeld }

// Exports tells whether a set decides what is announced.
func (s BgpSet) Exports() bool {
	return !s.Imports() || strings.TrimSuffix(string(s), "v6") == string(SetVIPs)
}

// BgpSets are all our sets.
func BgpSets() []BgpSet {
	var all []BgpSet
	for _, s := range []BgpSet{SetPods, SetPodsOut, SetVIPs, SetRejected, SetDefaults, SetAccepted, SetHeld, SetInternals, SetExternals, SetPeers} {
		all = append(all, s, s.V6())
	}
	return all
}

// BgpMember is one element of a defined set. A set costs what changes in it.
type BgpMember struct {
	Set      BgpSet
	Net      netip.Prefix // a peer's address has its full length
	Min, Max uint8        // the lengths of matching prefixes; of a peer its own
}

// Key is the whole member.
func (r BgpMember) Key() BgpKey {
	return BgpKey{Kind: BgpKindMember, Set: r.Set, Net: r.Net, Min: r.Min, Max: r.Max}
}

// String prints the member in the words of `gobgp policy prefix add`.
func (r BgpMember) String() string {
	s := fmt.Sprintf("defined-set %s %s", r.Set, r.Net)
	if int(r.Min) != r.Net.Bits() || int(r.Max) != r.Net.Bits() {
		s += fmt.Sprintf(" %d..%d", r.Min, r.Max)
	}
	return s
}

// MaxStatements bounds the statements of a policy, MaxCommunities the communities that one adds.
const (
	MaxStatements  = 24
	MaxCommunities = 16
)

// Community is a community of four octets (RFC 1997).
type Community uint32

// String prints "65000:17".
func (c Community) String() string { return fmt.Sprintf("%d:%d", c>>16, c&0xffff) }

// LargeCommunity is a large community (RFC 8092).
type LargeCommunity [3]uint32

// String prints "65000:1:2".
func (c LargeCommunity) String() string { return fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2]) }

// BgpStatement is one statement of a policy: routes of Prefixes, learned inside if Learned, on their way from
// or to Peers, are accepted with what is added to them, or rejected.
type BgpStatement struct {
	Prefixes BgpSet // empty: every prefix
	Peers    BgpSet // empty: every peer
	Learned  bool   // only routes that another node of our AS taught us
	Accept   bool

	PrependAS    uint32 // put PrependTimes before the AS path; 0: nothing
	PrependTimes uint8
	NextHopSelf  bool
	HasMED       bool
	MED          uint32
	Communities  [MaxCommunities]Community // the first CommunityCount of them are added
	Large        [MaxCommunities]LargeCommunity
	NCommunities uint8
	NLarge       uint8
}

// String prints the statement in the words of `gobgp policy statement`.
func (s BgpStatement) String() string {
	var b strings.Builder
	word := func(on bool, format string, args ...any) {
		if on {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, format, args...)
		}
	}
	word(s.Prefixes != "", "prefix %s", s.Prefixes)
	word(s.Peers != "", "neighbor %s", s.Peers)
	word(s.Learned, "route-type internal")
	word(s.PrependAS != 0, "as-prepend %d %d", s.PrependAS, s.PrependTimes)
	word(s.NextHopSelf, "next-hop self")
	word(s.HasMED, "med %d", s.MED)
	word(s.NCommunities > 0, "community add %v", s.Communities[:s.NCommunities])
	word(s.NLarge > 0, "large-community add %v", s.Large[:s.NLarge])
	word(s.Accept, "accept")
	word(!s.Accept, "reject")
	return b.String()
}

// BgpPolicy is what is announced or learned at all: the first statement that matches decides, else Accept.
type BgpPolicy struct {
	Import     bool
	Statements [MaxStatements]BgpStatement // the first Count of them
	Count      uint8
	Accept     bool
}

// Key is the direction.
func (r BgpPolicy) Key() BgpKey { return BgpKey{Kind: BgpKindPolicy, Import: r.Import} }

// List are the statements in order.
func (r BgpPolicy) List() []BgpStatement { return r.Statements[:r.Count] }

func (r BgpPolicy) name() string {
	if r.Import {
		return "policy import"
	}
	return "policy export"
}

// String prints the policy with its statements.
func (r BgpPolicy) String() string {
	parts := []string{r.name()}
	for _, s := range r.List() {
		parts = append(parts, s.String()+";")
	}
	last := "default reject"
	if r.Accept {
		last = "default accept"
	}
	return strings.Join(append(parts, last), " ")
}
