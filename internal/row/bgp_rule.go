package row

import (
	"fmt"
	"strings"
)

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

// AsMatch is a condition about a path's AS numbers. The zero value is none.
type AsMatch struct {
	How AsHow
	ASN uint32
}

// AsHow says where in a path an AS number must be.
type AsHow uint8

// The ways to look for an AS number.
const (
	AsContains   AsHow = iota + 1 // anywhere
	AsOriginates                  // last: it was there that the route began
	AsNeighbor                    // first: it is our neighbor's
)

// String prints the condition as the engine writes it: _65000_ contains, _65000$ originates, ^65000_ is the neighbor's.
func (m AsMatch) String() string {
	switch m.How {
	case AsOriginates:
		return fmt.Sprintf("_%d$", m.ASN)
	case AsNeighbor:
		return fmt.Sprintf("^%d_", m.ASN)
	}
	return fmt.Sprintf("_%d_", m.ASN)
}

// BgpStatement is one statement of a policy: routes of Prefixes, learned inside if Learned, on their way from
// or to Peers, are accepted with what is added to them, or rejected.
type BgpStatement struct {
	Prefixes BgpSet // empty: every prefix
	Peers    BgpSet // empty: every peer
	Learned  bool   // only routes that another node of our AS taught us
	Path     AsMatch
	Marked   Community      // only routes that have it; 0: any
	MarkedBy LargeCommunity // only routes that have it; zero: any
	Accept   bool
	Next     bool // neither accepted nor rejected: the statements that follow decide

	PrependAS    uint32 // put PrependTimes before the AS path; 0: nothing
	PrependTimes uint8
	NextHopSelf  bool
	HasMED       bool
	MED          uint32
	Pref         uint32                    // local preference; 0: as it is
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
	word(s.Path != AsMatch{}, "as-path %s", s.Path)
	word(s.Marked != 0, "community %s", s.Marked)
	word(s.MarkedBy != LargeCommunity{}, "large-community %s", s.MarkedBy)
	word(s.PrependAS != 0, "as-prepend %d %d", s.PrependAS, s.PrependTimes)
	word(s.NextHopSelf, "next-hop self")
	word(s.HasMED, "med %d", s.MED)
	word(s.Pref > 0, "local-pref %d", s.Pref)
	word(s.NCommunities > 0, "community add %v", s.Communities[:s.NCommunities])
	word(s.NLarge > 0, "large-community add %v", s.Large[:s.NLarge])
	word(s.Accept, "accept")
	word(s.Next, "next")
	word(!s.Accept && !s.Next, "reject")
	return b.String()
}

// BgpRule is a statement of a policy that comes and goes by itself, as objects do. Rules are asked in the order of their names: on the way in after
// the policy's own statements, which refuse, and on the way out before them, which accept.
type BgpRule struct {
	Import    bool
	Name      string
	Statement BgpStatement
}

// Key is the direction and the name.
func (r BgpRule) Key() BgpKey { return BgpKey{Kind: BgpKindRule, Import: r.Import, Rule: r.Name} }

func (r BgpRule) title() string {
	if r.Import {
		return "rule import " + r.Name
	}
	return "rule export " + r.Name
}

// String prints the rule with its statement.
func (r BgpRule) String() string { return r.title() + " " + r.Statement.String() }
