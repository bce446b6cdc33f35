package gobgp

import (
	"fmt"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// The sets of conditions about AS numbers and communities are named after the one thing that is in them.
const (
	setPath  = "as-path:"
	setMark  = "community:"
	setLarge = "large-community:"
)

func anyOf(name string) *api.MatchSet { return &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: name} }

func conditions(s row.BgpStatement) *api.Conditions {
	c := &api.Conditions{}
	if s.Prefixes != "" {
		c.PrefixSet = anyOf(string(s.Prefixes))
	}
	if s.Peers != "" {
		c.NeighborSet = anyOf(string(s.Peers))
	}
	if s.Learned {
		c.RouteType = api.Conditions_ROUTE_TYPE_INTERNAL
	}
	if s.Path != (row.AsMatch{}) {
		c.AsPathSet = anyOf(setPath + s.Path.String())
	}
	if s.Marked != 0 {
		c.CommunitySet = anyOf(setMark + s.Marked.String())
	}
	if s.MarkedBy != (row.LargeCommunity{}) {
		c.LargeCommunitySet = anyOf(setLarge + s.MarkedBy.String())
	}
	return c
}

func actions(s row.BgpStatement) *api.Actions {
	a := &api.Actions{RouteAction: action(s.Accept)}
	if s.Next {
		a.RouteAction = api.RouteAction_ROUTE_ACTION_UNSPECIFIED
	}
	if s.PrependTimes > 0 {
		a.AsPrepend = &api.AsPrependAction{Asn: s.PrependAS, Repeat: uint32(s.PrependTimes)}
	}
	if s.NextHopSelf {
		a.Nexthop = &api.NexthopAction{Self: true}
	}
	if s.HasMED {
		a.Med = &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: int64(s.MED)}
	}
	if s.Pref > 0 {
		a.LocalPref = &api.LocalPrefAction{Value: s.Pref}
	}
	if s.NCommunities > 0 {
		a.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: texts(s.Communities[:s.NCommunities])}
	}
	if s.NLarge > 0 {
		a.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: texts(s.Large[:s.NLarge])}
	}
	return a
}

func readStatement(m *api.Statement) row.BgpStatement {
	c, a := m.GetConditions(), m.GetActions()
	s := row.BgpStatement{
		Prefixes:    row.BgpSet(c.GetPrefixSet().GetName()),
		Peers:       row.BgpSet(c.GetNeighborSet().GetName()),
		Learned:     c.GetRouteType() == api.Conditions_ROUTE_TYPE_INTERNAL,
		Accept:      a.GetRouteAction() == api.RouteAction_ROUTE_ACTION_ACCEPT,
		PrependAS:   a.GetAsPrepend().GetAsn(),
		NextHopSelf: a.GetNexthop().GetSelf(),
		HasMED:      a.GetMed() != nil,
		MED:         uint32(a.GetMed().GetValue()),
		Pref:        a.GetLocalPref().GetValue(),
		Next:        a.GetRouteAction() == api.RouteAction_ROUTE_ACTION_UNSPECIFIED,
	}
	s.Path = readMatch(strings.TrimPrefix(c.GetAsPathSet().GetName(), setPath))
	s.Marked = readMark(strings.TrimPrefix(c.GetCommunitySet().GetName(), setMark))
	_, _ = fmt.Sscanf(strings.TrimPrefix(c.GetLargeCommunitySet().GetName(), setLarge), "%d:%d:%d", &s.MarkedBy[0], &s.MarkedBy[1], &s.MarkedBy[2])
	s.PrependTimes = uint8(a.GetAsPrepend().GetRepeat())
	for _, text := range a.GetCommunity().GetCommunities() {
		if s.NCommunities < row.MaxCommunities {
			s.Communities[s.NCommunities] = readMark(text)
			s.NCommunities++
		}
	}
	for _, text := range a.GetLargeCommunity().GetCommunities() {
		var l row.LargeCommunity
		if n, _ := fmt.Sscanf(text, "%d:%d:%d", &l[0], &l[1], &l[2]); n == 3 && s.NLarge < row.MaxCommunities {
			s.Large[s.NLarge] = l
			s.NLarge++
		}
	}
	return s
}

// readMark reads a community; 0 where it is none.
func readMark(text string) row.Community {
	var high, low uint32
	if n, _ := fmt.Sscanf(text, "%d:%d", &high, &low); n != 2 {
		return 0
	}
	return row.Community(high<<16 | low)
}

// readMatch reads a condition about AS numbers; the zero value where it is none of ours.
func readMatch(text string) row.AsMatch {
	var as uint32
	_, _ = fmt.Sscanf(strings.Trim(text, "^_$"), "%d", &as)
	for _, how := range []row.AsHow{row.AsContains, row.AsOriginates, row.AsNeighbor} {
		if m := (row.AsMatch{How: how, ASN: as}); m.String() == text {
			return m
		}
	}
	return row.AsMatch{}
}
