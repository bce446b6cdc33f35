package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
)

// TestLacks finds the policies behind whoever wants rows that can't be written.
func TestLacks(t *testing.T) {
	p := clusterPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {ns: "y"}}}]}], egress: [{action: Deny, to: [{nodes: {}}]}]}`)
	q := clusterPolicy(t, "q", `{tier: Baseline, priority: 1, subject: {namespaces: {matchLabels: {ns: "y"}}}, ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}, {namespaces: {}}]}]}`)
	own := &model.Policy{Name: model.Name{Namespace: "x", Name: "own"}, Ingress: &model.Rules{}}
	n := tierWorld(t, p, q, own)
	tier := func(pod string, level int) string {
		wall, _ := n.planner.Plan(model.Name{Namespace: pod[:1], Name: pod[2:]})
		return policy.TierPrefix + wall.Ingress[level].ID
	}
	for _, c := range []struct {
		owner string
		want  []string
	}{
		{"Pod x/a", []string{"ClusterNetworkPolicy p", "NetworkPolicy x/own"}},
		{"Pod y/b", []string{"ClusterNetworkPolicy p", "ClusterNetworkPolicy q"}}, // it is in a set of p
		{tier("x/a", 0), []string{"ClusterNetworkPolicy p"}},
		{tier("x/a", 1), []string{"NetworkPolicy x/own"}},
		{"Node n1", []string{"ClusterNetworkPolicy p"}},
		{policy.BaseOwner, []string{""}},
		{"service a/b", nil},
	} {
		var got []string
		for _, r := range n.planner.Lacks(&model.Unwritten{Owners: []string{c.owner}}) {
			got = append(got, r.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.owner, got, c.want)
		}
	}
	if got := fmt.Sprint(n.planner.Lacks(nil), n.planner.Lacks(&model.Unwritten{All: true})); got != "[] []" && got != "[] [ ]" {
		t.Errorf("nothing and all: %s", got)
	}
}

// TestReports: one node reports, another one when that isn't ready, and each Node's change tells rightly what was before it.
func TestReports(t *testing.T) {
	at := func(name string) *model.Model {
		m := model.New(settings(name))
		for i := range 20 {
			m.Put(&model.Node{Name: fmt.Sprint("n", i)})
		}
		return m
	}
	speaker := func(change func(*model.Model)) (list []string) {
		for i := range 20 {
			m := at(fmt.Sprint("n", i))
			if change != nil {
				change(m)
			}
			if policy.Reports(m) {
				list = append(list, m.Settings.Node)
			}
		}
		return list
	}
	before := speaker(nil)
	if len(before) != 1 {
		t.Fatalf("%v report", before)
	}
	gone := &model.Node{Name: before[0], NotReady: true}
	after := slices.DeleteFunc(speaker(func(m *model.Model) { m.Put(gone) }), func(s string) bool { return s == gone.Name })
	if len(after) != 1 {
		t.Errorf("%v report after %v", after, before)
	}
	m := at(after[0])
	old := m.Put(gone)
	if policy.ReportedWith(m, old.(*model.Node), gone) || !policy.Reports(m) {
		t.Error("who takes over isn't told that it does")
	}
}
