package gobgp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// direction is a policy's direction with the names that its policies begin with: that of its own statements, and that of rules. A number follows
// that grows with every change, as in the reference: policies are made whole, assigned, and the old ones are removed.
func direction(imports bool) (dir api.PolicyDirection, own, rules string) {
	if imports {
		return api.PolicyDirection_POLICY_DIRECTION_IMPORT, "kube_router_import", "kube_router_rules_import"
	}
	return api.PolicyDirection_POLICY_DIRECTION_EXPORT, "kube_router_export", "kube_router_rules_export"
}

// number tells whether a policy is ours and of the direction whose names begin with prefix, and which one.
func number(name, prefix string) (int, bool) {
	text, ours := strings.CutPrefix(name, prefix)
	n, err := strconv.Atoi(text)
	return n, ours && err == nil
}

// policies reads the policies that are assigned, with their rules.
func (c *client) policies(ctx context.Context, add func(row.Bgp)) error {
	for _, imports := range []bool{false, true} {
		dir, _, _ := direction(imports)
		a, err := c.assignment(ctx, dir)
		if err != nil {
			return err
		}
		have := readAssigned(imports, a)
		if have.own != nil {
			add(*have.own)
		}
		for _, r := range have.rules {
			add(r)
		}
	}
	return nil
}

// assigned is what is ours of one direction.
type assigned struct {
	own   *row.BgpPolicy // nil: none
	rules map[string]row.BgpRule
}

func readAssigned(imports bool, a *api.PolicyAssignment) assigned {
	_, own, rules := direction(imports)
	have := assigned{rules: map[string]row.BgpRule{}}
	for _, p := range a.GetPolicies() {
		if _, ours := number(p.Name, own); ours {
			r := readPolicy(imports, a.DefaultAction, p)
			have.own = &r
		}
		if _, ours := number(p.Name, rules); ours {
			for _, s := range p.Statements {
				name := strings.TrimPrefix(s.Name, p.Name+" ")
				have.rules[name] = row.BgpRule{Import: imports, Name: name, Statement: readStatement(s)}
			}
		}
	}
	return have
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

// setPolicies makes policies and rules as they are to be. Rules that are to go, go with them: a policy is made whole anyway.
func (t *turn) setPolicies(made, gone []change) error {
	return t.changePolicies(slices.Concat(kind(made, row.BgpKindRule), kind(made, row.BgpKindPolicy), kind(gone, row.BgpKindRule)))
}

func (t *turn) removePolicies(_, gone []change) error {
	if err := t.changePolicies(kind(gone, row.BgpKindPolicy)); err != nil {
		return err
	}
	return t.removeEmpty(gone)
}

func (t *turn) changePolicies(list []change) error {
	for _, imports := range []bool{false, true} {
		var some []change
		for _, c := range list {
			if c.Key.Import == imports {
				some = append(some, c)
			}
		}
		if len(some) == 0 {
			continue
		}
		err := t.changeDirection(imports, some)
		if lost(err) {
			return fmt.Errorf("the BGP speaker does not answer: %w", err)
		}
		for _, c := range some {
			if err != nil {
				t.failed[c.Key] = plain(err)
			}
		}
	}
	return nil
}

// changeDirection makes changes of one direction's policy and rules.
func (t *turn) changeDirection(imports bool, list []change) error {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	dir, _, _ := direction(imports)
	was, err := t.assignment(ctx, dir)
	if err != nil {
		return err
	}
	want := readAssigned(imports, was)
	for _, c := range list {
		if c.Key.Kind == row.BgpKindPolicy {
			want.own = nil
			if c.New != nil {
				p := (*c.New).(row.BgpPolicy)
				want.own = &p
			}
			t.again(imports, row.BgpStatement{})
			continue
		}
		old, there := want.rules[c.Key.Rule]
		if there {
			t.again(imports, old.Statement)
		}
		delete(want.rules, c.Key.Rule)
		if c.New != nil {
			r := (*c.New).(row.BgpRule)
			want.rules[r.Name] = r
			t.again(imports, r.Statement)
		}
	}
	return t.assign(ctx, imports, was, want)
}

// again notes that routes must be judged again: those of the peer that a statement is about, or all.
func (t *turn) again(imports bool, s row.BgpStatement) {
	if t.fresh {
		return
	}
	one, single := s.Peers.About()
	switch {
	case single && imports:
		t.resetOf[one] |= api.ResetPeerRequest_DIRECTION_IN
	case single:
		t.resetOf[one] |= api.ResetPeerRequest_DIRECTION_OUT
	case imports:
		t.resetIn = true
	default:
		t.resetOut = true
	}
}

// assign assigns policies; none of ours: nothing leaves. What comes in is another matter: the engine judges our own paths by the import policy too.
func (t *turn) assign(ctx context.Context, imports bool, was *api.PolicyAssignment, want assigned) error {
	dir, own, rules := direction(imports)
	ours := func(name string) (int, bool) {
		n, is := number(name, own)
		if !is {
			n, is = number(name, rules)
		}
		return n, is
	}
	var old []*api.Policy
	next := 0
	stream, err := t.ListPolicy(ctx, &api.ListPolicyRequest{})
	err = each[api.ListPolicyResponse](stream, err, func(m *api.ListPolicyResponse) {
		if n, is := ours(m.Policy.Name); is {
			old = append(old, m.Policy)
			next = max(next, n+1)
		}
	})
	if err != nil {
		return err
	}
	a := &api.PolicyAssignment{Name: "global", Direction: dir, DefaultAction: action(imports)}
	for _, p := range was.GetPolicies() {
		if _, is := ours(p.Name); !is {
			a.Policies = append(a.Policies, &api.Policy{Name: p.Name}) // somebody else's
		}
	}
	if want.own != nil {
		a.DefaultAction = action(want.own.Accept)
	}
	for _, p := range inOrder(imports, want, next) {
		if err := t.ensure(ctx, p); err != nil {
			return err
		}
		if _, err := t.AddPolicy(ctx, &api.AddPolicyRequest{Policy: p}); err != nil {
			return err
		}
		a.Policies = append(a.Policies, &api.Policy{Name: p.Name})
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

// inOrder are the policies of a direction in the order in which they are asked.
func inOrder(imports bool, want assigned, number int) []*api.Policy {
	_, own, rules := direction(imports)
	var list []*api.Policy
	if want.own != nil {
		list = append(list, policyMessage(*want.own, own+strconv.Itoa(number)))
	}
	if len(want.rules) == 0 {
		return list
	}
	p := &api.Policy{Name: rules + strconv.Itoa(number)}
	for _, name := range slices.Sorted(maps.Keys(want.rules)) {
		s := want.rules[name].Statement
		p.Statements = append(p.Statements, &api.Statement{Name: p.Name + " " + name, Conditions: conditions(s), Actions: actions(s)})
	}
	if imports {
		return append(list, p)
	}
	return append([]*api.Policy{p}, list...)
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
