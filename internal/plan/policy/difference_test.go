package policy_test

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab/netpol"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/watch/kube"
)

// copied is the model of a node once more.
func copied(n *node) *model.Model {
	m := model.New(n.m.Settings)
	for _, o := range n.m.Pods {
		m.Put(o)
	}
	for _, o := range n.m.Namespaces {
		m.Put(o)
	}
	for _, o := range n.m.Policies {
		m.Put(o)
	}
	for _, o := range n.m.Cluster {
		m.Put(o)
	}
	for _, o := range n.m.Nodes {
		m.Put(o)
	}
	for _, o := range n.m.Domains {
		m.Put(o)
	}
	return m
}

// TestCompareGenerated: of random worlds and a policy that comes into them, what is told is true by the API's words, and all flows at
// ports that pods have are told that are otherwise.
func TestCompareGenerated(t *testing.T) {
	told, same := 0, 0
	for seed := range uint64(6) {
		g := newGenerated(seed, true, true, seed%2 == 0)
		for range 12 {
			g.step()
			now, then := copied(g.nodes["n1"]), copied(g.nodes["n1"])
			after := g.api
			if g.r.IntN(2) == 0 {
				p := g.r.Policy("new")
				then.Put(kube.ConvertPolicy(p))
				after.Policies = append(after.Policies[:len(after.Policies):len(after.Policies)], p)
			} else {
				p := g.r.ClusterPolicy("new")
				then.Put(kube.ConvertClusterPolicy(p))
				after.Cluster = append(after.Cluster[:len(after.Cluster):len(after.Cluster)], p)
			}
			before, changed := g.api.Enforced(), after.Enforced()
			diff := policy.Compare(now, then)
			if diff.Left > 0 {
				t.Fatalf("%d pairs are left", diff.Left)
			}
			list := map[policy.Flow]bool{}
			for _, d := range diff.Flows {
				list[d.Flow] = true
				f := netpol.Flow{From: d.Flow.From, To: d.Flow.To, Port: int32(d.Flow.Port)}
				f.Protocol = map[model.Protocol]corev1.Protocol{model.TCP: corev1.ProtocolTCP, model.UDP: corev1.ProtocolUDP, model.SCTP: corev1.ProtocolSCTP}[d.Flow.Protocol]
				if before.Allowed(f) == changed.Allowed(f) || changed.Allowed(f) != d.Passes || d.Refused.Allowed {
					t.Fatalf("%+v: by the API %t and then %t", d, before.Allowed(f), changed.Allowed(f))
				}
				told++
			}
			g.flows(func(f netpol.Flow) {
				from, to := g.api.PodAt(f.From), g.api.PodAt(f.To)
				if from == nil || to == nil || from.Spec.NodeName != "n1" && to.Spec.NodeName != "n1" || !hasNamed(to, f) || before.Allowed(f) == changed.Allowed(f) {
					return
				}
				flow := policy.Flow{From: f.From, To: f.To, Protocol: model.Protocol(number(f.Protocol)), Port: model.Port(f.Port)}
				here := "n1"
				if !list[flow] && (from.Spec.NodeName == here && !sameEnd(before, changed, f, true) || to.Spec.NodeName == here && !sameEnd(before, changed, f, false)) {
					t.Fatalf("%v is not told", f)
				}
				same++
			})
		}
	}
	t.Logf("%d flows told, %d of them at ports of pods", told, same)
	if told == 0 || same == 0 {
		t.Error("nothing was compared")
	}
}

func hasNamed(p *corev1.Pod, f netpol.Flow) bool {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Protocol == f.Protocol && port.ContainerPort == f.Port {
				return true
			}
		}
	}
	return false
}

// sameEnd tells whether one end of a flow says the same in two worlds.
func sameEnd(a, b *netpol.Oracle, f netpol.Flow, sender bool) bool {
	return a.End(f, sender) == b.End(f, sender)
}

// TestCompareBound: a large cluster is not judged to its end, which is said.
func TestCompareBound(t *testing.T) {
	n := tierWorld(t)
	now, then := copied(n), copied(n)
	for i := range 60_000 {
		a := netip.AddrFrom4([4]byte{10, 2, byte(i / 250), byte(i%250 + 1)})
		o := &model.Pod{Name: model.Name{Namespace: "y", Name: fmt.Sprint("many-", i)}, Node: "n2", Addrs: []netip.Addr{a}}
		now.Put(o)
		then.Put(o)
	}
	p := &model.Policy{Name: model.Name{Namespace: "x", Name: "p"}, Ingress: &model.Rules{}}
	then.Put(p)
	diff := policy.Compare(now, then)
	if diff.Left == 0 || diff.Tried == 0 || len(diff.Pods) != 2 {
		t.Errorf("%d pods, tried %d, left %d", len(diff.Pods), diff.Tried, diff.Left)
	}
}
