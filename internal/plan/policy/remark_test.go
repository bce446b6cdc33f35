package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

// TestRemarks: a policy that selects nothing is remarked upon, and a port's name that a selected pod doesn't have; what
// is as it should be is not.
func TestRemarks(t *testing.T) {
	only := func(v string) model.Selector {
		return model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.In, Values: []string{v}}}}
	}
	pod := func(name string, ports ...model.PodPort) *model.Pod {
		return &model.Pod{Name: model.Name{Namespace: "x", Name: name}, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1")},
			Labels: map[string]string{"app": name}, Ports: ports}
	}
	named := &model.Rules{Rules: []model.Rule{{AnyPeer: true, Ports: []model.PolicyPort{{Protocol: model.TCP, PortName: "web"}}}}}
	policy := func(name, app string) *model.Policy {
		return &model.Policy{Name: model.Name{Namespace: "x", Name: name}, Pods: only(app), Ingress: named}
	}
	host := pod("host")
	host.HostNetwork = true
	n := newNode(settings("n1"), &model.Namespace{Name: "x"}, pod("good", model.PodPort{Name: "web", Protocol: model.TCP, Port: 80}),
		pod("nameless", model.PodPort{Name: "web", Protocol: model.UDP, Port: 80}), host,
		policy("fine", "good"), policy("nothing", "nobody"), policy("the-host", "host"), policy("unnamed", "nameless"))
	var got []string
	for _, r := range n.planner.Remarks() {
		got = append(got, r.String())
	}
	slices.Sort(got)
	want := []string{
		"NetworkPolicy x/nothing: spec.podSelector: selects no pod",
		"NetworkPolicy x/the-host: spec.podSelector: selects no pod",
		`NetworkPolicy x/unnamed: spec.ingress: port "web"/tcp opens nothing at pod x/nameless: no container names it`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
