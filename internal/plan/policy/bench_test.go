package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
)

// benchCluster is a cluster of which a hundred pods run here, and in whose namespaces as many policies stand, each
// of which lets in an app of another namespace, a team, and the pods of its own.
func benchCluster(pods, policies int) []model.Object {
	spaces := policies
	list := make([]model.Object, 0, pods+policies+spaces)
	for i := range spaces {
		name := fmt.Sprintf("ns-%d", i)
		list = append(list, &model.Namespace{Name: name, Labels: map[string]string{"name": name, "team": fmt.Sprint("team-", i%100)}})
	}
	for i := range pods {
		list = append(list, benchPod(i, spaces, "app-0"))
	}
	in := func(key, value string) *model.Selector {
		return &model.Selector{Requirements: []model.Requirement{{Key: key, Op: model.In, Values: []string{value}}}}
	}
	for i := range policies {
		list = append(list, &model.Policy{
			Name: model.Name{Namespace: fmt.Sprintf("ns-%d", i), Name: "policy"},
			Ingress: &model.Rules{Rules: []model.Rule{
				{Peers: []model.PolicyPeer{{Pods: &model.Selector{}}}, AnyPort: true},
				{Peers: []model.PolicyPeer{{Namespaces: in("name", fmt.Sprintf("ns-%d", (i*7+1)%spaces)), Pods: in("app", fmt.Sprint("app-", i%50))}}, AnyPort: true},
				{Peers: []model.PolicyPeer{{Namespaces: in("team", fmt.Sprint("team-", i%100)), Pods: in("app", fmt.Sprint("app-", i%50))}},
					Ports: []model.PolicyPort{{Protocol: model.TCP, Port: 80}}},
			}},
		})
	}
	return list
}

func benchPod(i, spaces int, app string) *model.Pod {
	node := "n2"
	if i < 100 {
		node = "n1"
	}
	return &model.Pod{
		Name: model.Name{Namespace: fmt.Sprintf("ns-%d", i%spaces), Name: fmt.Sprint("pod-", i)}, Node: node,
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
		Labels: map[string]string{"app": app, "pod": fmt.Sprint(i)},
	}
}

var benchSizes = []struct{ pods, policies int }{{1_000, 100}, {10_000, 1_000}, {100_000, 10_000}}

// BenchmarkOneLabel is what a label of a pod elsewhere costs, from the model to rows: the same however large the
// cluster is.
func BenchmarkOneLabel(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("pods=%d,policies=%d", size.pods, size.policies), func(b *testing.B) {
			n := newNode(settings("n1"), benchCluster(size.pods, size.policies)...)
			b.ReportAllocs()
			i, touched := 0, 0
			for b.Loop() {
				i++
				p := benchPod(size.pods-1, size.policies, fmt.Sprint("app-", i%2))
				n.change(map[model.Ref]model.Object{p.Ref(): p})
				touched += n.touched
			}
			b.ReportMetric(float64(touched)/float64(i), "units/op")
		})
	}
}

// BenchmarkOnePolicy is what a change of a policy costs: of one that selects a pod here, and of one that doesn't.
func BenchmarkOnePolicy(b *testing.B) {
	for _, size := range benchSizes {
		objects := benchCluster(size.pods, size.policies)
		for _, here := range []bool{true, false} {
			if !here && size.policies == 100 {
				continue // there all namespaces have pods here
			}
			b.Run(fmt.Sprintf("pods=%d,policies=%d,here=%t", size.pods, size.policies, here), func(b *testing.B) {
				n := newNode(settings("n1"), objects...)
				old := objects[len(objects)-size.policies].(*model.Policy)
				if !here {
					old = objects[len(objects)-1].(*model.Policy)
				}
				b.ReportAllocs()
				i, touched := 0, 0
				for b.Loop() {
					i++
					p := *old
					p.Ingress = &model.Rules{Rules: append(old.Ingress.Rules[:3:3], model.Rule{AnyPeer: true, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: model.Port(1 + i%1000)}}})}
					n.change(map[model.Ref]model.Object{p.Ref(): &p})
					touched += n.touched
				}
				b.ReportMetric(float64(touched)/float64(i), "units/op")
			})
		}
	}
}

// benchTiers are a cluster's policies beside 10 ClusterNetworkPolicies for everybody, as many for each of a hundred teams, and a
// change of one of them that is about pods here.
func benchTiers(n int) (list []*model.ClusterPolicy) {
	in := func(key, value string) model.Selector {
		return model.Selector{Requirements: []model.Requirement{{Key: key, Op: model.In, Values: []string{value}}}}
	}
	for i := range n {
		p := &model.ClusterPolicy{Name: fmt.Sprint("cluster-", i), Tier: model.Tier(i % 2), Priority: int32(i % 1000)}
		if i >= 10 {
			p.Subject.Namespaces = in("team", fmt.Sprint("team-", i%100))
		}
		peer := model.ClusterPeer{Pods: &model.PodSelection{Namespaces: in("team", fmt.Sprint("team-", (i*7)%100))}}
		p.Ingress = []model.ClusterRule{
			{Action: model.Accept, Peers: []model.ClusterPeer{peer}, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: model.Port(1 + i)}}},
			{Action: model.Deny, Peers: []model.ClusterPeer{{Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 0}), 24)}}}, AnyPort: true},
		}
		list = append(list, p)
	}
	return list
}

// BenchmarkOneClusterPolicy is what a change of a ClusterNetworkPolicy costs, from the model to rows, and what all cost from cold.
func BenchmarkOneClusterPolicy(b *testing.B) {
	for _, size := range []struct{ pods, policies, cluster int }{{1_000, 100, 10}, {100_000, 10_000, 1_000}} {
		objects := benchCluster(size.pods, size.policies)
		tiers := benchTiers(size.cluster)
		for _, p := range tiers {
			objects = append(objects, p)
		}
		b.Run(fmt.Sprintf("cold/pods=%d,policies=%d,cluster=%d", size.pods, size.policies, size.cluster), func(b *testing.B) {
			for b.Loop() {
				newNode(settings("n1"), objects...)
			}
		})
		b.Run(fmt.Sprintf("change/pods=%d,policies=%d,cluster=%d", size.pods, size.policies, size.cluster), func(b *testing.B) {
			n := newNode(settings("n1"), objects...)
			b.ReportAllocs()
			i := 0
			var took []time.Duration
			for b.Loop() {
				i++
				p := *tiers[len(tiers)-2] // of tier Admin
				p.Ingress = append(p.Ingress[:2:2], model.ClusterRule{Action: model.Pass, AnyPort: true, Peers: []model.ClusterPeer{{Networks: []netip.Prefix{
					netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(i >> 8), byte(i), 0}), 24)}}}})
				begun := time.Now()
				n.change(map[model.Ref]model.Object{p.Ref(): &p})
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// TestOnlyLocalPoliciesAreResolved: of a cluster's policies those that select a pod here are, and no others.
func TestOnlyLocalPoliciesAreResolved(t *testing.T) {
	n := newNode(settings("n1"), benchCluster(5_000, 1_000)...)
	resolved := 0
	for _, s := range n.planner.Policies() {
		if s.Resolved {
			resolved++
		}
	}
	if resolved != 100 {
		t.Errorf("%d of 1,000 policies are resolved, want the 100 that select a pod here", resolved)
	}
	var units []model.Ref
	last := n.m.Policies[model.Name{Namespace: "ns-999", Name: "policy"}]
	planner := policy.New(n.m)
	planner.Units()
	planner.Note(last, last, func(u model.Ref) { units = append(units, u) })
	if len(units) > 0 {
		t.Errorf("a policy that selects nobody here makes %v be planned", units)
	}
}
