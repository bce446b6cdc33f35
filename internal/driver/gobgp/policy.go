package gobgp

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// direction is a policy's direction with the name that its policies begin with. A number follows that grows
// with every change, as in the reference: a policy is made whole, assigned, and the old one is removed.
func direction(imports bool) (api.PolicyDirection, string) {
	if imports {
		return api.PolicyDirection_POLICY_DIRECTION_IMPORT, "kube_router_import"
	}
	return api.PolicyDirection_POLICY_DIRECTION_EXPORT, "kube_router_export"
}

// number tells whether a policy is ours and of the direction whose names begin with prefix, and which one.
func number(name, prefix string) (int, bool) {
	text, ours := strings.CutPrefix(name, prefix)
	n, err := strconv.Atoi(text)
	return n, ours && err == nil
}

// policies reads the policies that are assigned.
func (c *client) policies(ctx context.Context, add func(row.Bgp)) error {
	for _, imports := range []bool{false, true} {
		dir, prefix := direction(imports)
		a, err := c.assignment(ctx, dir)
		if err != nil {
			return err
		}
		for _, p := range a.GetPolicies() {
			if _, ours := number(p.Name, prefix); ours {
				add(readPolicy(imports, a.DefaultAction, p))
			}
		}
	}
	return nil
}

// assignment is what the speaker applies in one direction, to all peers.
func (c *client) assignment(ctx context.Context, dir api.PolicyDirection) (*api.PolicyAssignment, error) {
	var found *api.PolicyAssignment
	stream, err := c.ListPolicyAssignment(ctx, &api.ListPolicyAssignmentRequest{Name: "global", Direction: dir})
	err = each[api.ListPolicyAssignmentResponse](stream, err, func(m *api.ListPolicyAssignmentResponse) { found = m.Assignment })
	if err != nil {
		return nil, fmt.Errorf("read the speaker's policies: %w", err)
	}
	return found, nil
}

func (t *turn) setPolicies(made, _ []change) error {
	return t.changePolicies(kind(made, row.BgpKindPolicy))
}

func (t *turn) removePolicies(_, gone []change) error {
	return t.changePolicies(kind(gone, row.BgpKindPolicy))
}

func (t *turn) changePolicies(list []change) error {
	for _, c := range list {
		var want *row.BgpPolicy
		if c.New != nil {
			p := (*c.New).(row.BgpPolicy)
			want = &p
		}
		err := t.one(c.Key, func(ctx context.Context) error { return t.setPolicy(ctx, c.Key.Import, want) })
		if err != nil {
			return err
		}
		if !t.fresh {
			t.resetIn, t.resetOut = t.resetIn || c.Key.Import, t.resetOut || !c.Key.Import
		}
	}
	return nil
}

// setPolicy assigns a policy; nil: none of ours, and nothing leaves. What comes in is another matter: the
// engine judges our own paths by the import policy too.
func (t *turn) setPolicy(ctx context.Context, imports bool, want *row.BgpPolicy) error {
	dir, prefix := direction(imports)
	was, err := t.assignment(ctx, dir)
	if err != nil {
		return err
	}
	var old []*api.Policy
	next := 0
	stream, err := t.ListPolicy(ctx, &api.ListPolicyRequest{})
	err = each[api.ListPolicyResponse](stream, err, func(m *api.ListPolicyResponse) {
		if n, ours := number(m.Policy.Name, prefix); ours {
			old = append(old, m.Policy)
			next = max(next, n+1)
		}
	})
	if err != nil {
		return err
	}
	a := &api.PolicyAssignment{Name: "global", Direction: dir, DefaultAction: action(imports)}
	for _, p := range was.GetPolicies() {
		if _, ours := number(p.Name, prefix); !ours {
			a.Policies = append(a.Policies, &api.Policy{Name: p.Name}) // somebody else's
		}
	}
	if want != nil {
		p := policyMessage(*want, prefix+strconv.Itoa(next))
		if _, err := t.AddPolicy(ctx, &api.AddPolicyRequest{Policy: p}); err != nil {
			return err
		}
		a.Policies = append(a.Policies, &api.Policy{Name: p.Name})
		a.DefaultAction = action(want.Accept)
	}
	if _, err := t.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: a}); err != nil {
		return err
	}
	for _, p := range old {
		if _, err := t.DeletePolicy(ctx, &api.DeletePolicyRequest{Policy: &api.Policy{Name: p.Name}, All: true}); err != nil {
			return err
		}
	}
	return nil
}

func action(accept bool) api.RouteAction {
	if accept {
		return api.RouteAction_ROUTE_ACTION_ACCEPT
	}
	return api.RouteAction_ROUTE_ACTION_REJECT
}

// policyMessage puts a policy into the speaker's words.
func policyMessage(r row.BgpPolicy, name string) *api.Policy {
	p := &api.Policy{Name: name}
	for i, s := range r.List() {
		p.Statements = append(p.Statements, &api.Statement{
			Name: fmt.Sprintf("%s_stmt%d", name, i), Conditions: conditions(s), Actions: actions(s),
		})
	}
	return p
}

func conditions(s row.BgpStatement) *api.Conditions {
	c := &api.Conditions{}
	if s.Prefixes != "" {
		c.PrefixSet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: string(s.Prefixes)}
	}
	if s.Peers != "" {
		c.NeighborSet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: string(s.Peers)}
	}
	if s.Learned {
		c.RouteType = api.Conditions_ROUTE_TYPE_INTERNAL
	}
	return c
}

func actions(s row.BgpStatement) *api.Actions {
	a := &api.Actions{RouteAction: action(s.Accept)}
	if s.PrependTimes > 0 {
		a.AsPrepend = &api.AsPrependAction{Asn: s.PrependAS, Repeat: uint32(s.PrependTimes)}
	}
	if s.NextHopSelf {
		a.Nexthop = &api.NexthopAction{Self: true}
	}
	if s.HasMED {
		a.Med = &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: int64(s.MED)}
	}
	if s.NCommunities > 0 {
		a.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: texts(s.Communities[:s.NCommunities])}
	}
	if s.NLarge > 0 {
		a.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: texts(s.Large[:s.NLarge])}
	}
	return a
}

func texts[T fmt.Stringer](list []T) []string {
	all := make([]string, len(list))
	for i, c := range list {
		all[i] = c.String()
	}
	return all
}

// readPolicy makes a row of an assigned policy.
func readPolicy(imports bool, otherwise api.RouteAction, p *api.Policy) row.BgpPolicy {
	r := row.BgpPolicy{Import: imports, Accept: otherwise == api.RouteAction_ROUTE_ACTION_ACCEPT}
	for _, s := range p.Statements[:min(len(p.Statements), row.MaxStatements)] {
		r.Statements[r.Count] = readStatement(s)
		r.Count++
	}
	return r
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
	}
	s.PrependTimes = uint8(a.GetAsPrepend().GetRepeat())
	for _, text := range a.GetCommunity().GetCommunities() {
		var high, low uint32
		if n, _ := fmt.Sscanf(text, "%d:%d", &high, &low); n == 2 && s.NCommunities < row.MaxCommunities {
			s.Communities[s.NCommunities] = row.Community(high<<16 | low)
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
