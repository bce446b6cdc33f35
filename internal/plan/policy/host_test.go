package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
	"kube-router/internal/watch/kube"
)

const hostWorlds = 100

// converted takes a NodePolicy over as the daemon does.
func converted(t *testing.T, o *api.NodePolicy) *model.NodePolicy {
	t.Helper()
	spec, err := json.Marshal(o.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return kube.ConvertNodePolicy(&api.Raw{ObjectMeta: o.ObjectMeta, Spec: spec})
}

// hostNodes are the node itself and another one.
func hostNodes(zone string) []*corev1.Node {
	node := func(name, zone string, addrs ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": zone}}}
		for _, a := range addrs {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return n
	}
	return []*corev1.Node{node("n1", zone, "192.0.2.1", "2001:db8::1"), node("n2", "west", "192.0.2.2", "2001:db8::2")}
}

// TestHostGenerated: for random NodePolicies rows say what the naive evaluator says, in both directions and families, for fail-safes and others; so
// does Judge; audited policies end nothing, and what they would end is counted; and changes lead where a cold start leads.
func TestHostGenerated(t *testing.T) {
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(17, 5)), Audits: true}
	flows, denied, closed, audits := 0, 0, 0, 0
	for i := range hostWorlds {
		zone := []string{"east", "west"}[g.IntN(2)]
		nodes := hostNodes(zone)
		objects := []model.Object{}
		o := &netpol.Oracle{Namespaces: map[string]*corev1.Namespace{}, Nodes: nodes}
		for j, name := range netpol.Namespaces() {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"ns": name, "team": "red"}}}
			o.Namespaces[name] = ns
			objects = append(objects, kube.ConvertNamespace(ns))
			for k, pod := range netpol.Pods() {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: pod, Labels: map[string]string{"pod": pod}}, Spec: corev1.PodSpec{NodeName: "n2"},
					Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.1.%d.%d", j, k+1)}, {IP: fmt.Sprintf("fd00::1:%d:%d", j, k+1)}}}}
				o.Pods = append(o.Pods, p)
				objects = append(objects, kube.ConvertPod(p))
			}
		}
		for _, n := range nodes {
			objects = append(objects, kube.ConvertNode(n))
		}
		n := newNode(settings("n1"), objects...)
		bare := lines(n)
		var list, enforced []*api.NodePolicy
		for j := range 1 + g.IntN(4) {
			p := g.NodePolicy(fmt.Sprint("p", j))
			list = append(list, p)
			if p.Annotations[netpol.AuditKey] != netpol.AuditValue {
				enforced = append(enforced, p)
			}
			c := converted(t, p)
			n.change(map[model.Ref]model.Object{c.Ref(): c})
		}
		tr := n.tracer()
		for _, peer := range []string{"10.1.0.1", "10.1.1.2", "10.1.2.3", "192.0.2.2", "198.51.100.9", "fd00::1:1:2", "2001:db8::2", "2001:db8:9::1"} {
			other := netip.MustParseAddr(peer)
			own := netip.MustParseAddr("192.0.2.1")
			if other.Is6() {
				own = netip.MustParseAddr("2001:db8::1")
			}
			for _, port := range []int32{80, 81, 22, 53, 6443, 10250} {
				for _, proto := range []corev1.Protocol{"TCP", "UDP"} {
					for _, ingress := range []bool{true, false} {
						f := netpol.Flow{From: own, To: other, Protocol: proto, Port: port}
						hook, p := row.NftOutput, row.NftPacket{SrcLocal: true}
						safe := port == 6443 && proto == "TCP" || port == 10250 && proto == "TCP" || port == 53
						if ingress {
							f.From, f.To = other, own
							hook, p = row.NftInput, row.NftPacket{DstLocal: true}
							safe = port != 80 && port != 81 && port != 53 && proto == "TCP"
						}
						p.Src, p.Dst, p.Protocol, p.SrcPort, p.DstPort, p.State = f.From, f.To, number(proto), 40000, uint16(port), row.NftStateNew
						want, would := o.Host(enforced, nodes[0], ingress, f, safe), o.Host(list, nodes[0], ingress, f, safe)
						trail, err := tr.Trace(hook, "policy-", p)
						if err != nil {
							t.Fatal(err)
						}
						egress, in := n.planner.Judge(policy.Flow{From: f.From, To: f.To, Protocol: model.Protocol(number(proto)), Port: model.Port(port)})
						end := egress
						if ingress {
							end = in
						}
						flows++
						if !want {
							if denied++; safe {
								closed++
							}
						}
						if want && !would {
							audits++
						}
						if trail.Accepted() != want || end.Allowed != want || rehearsed(trail) != (want && !would) {
							t.Fatalf("world %d: %v, ingress %t, safe %t: want %t (would be %t), rows %t, Judge %s\n%s", i, f, ingress, safe, want, would, trail.Accepted(), end, trail)
						}
					}
				}
			}
		}
		n.same(t)
		if err := n.planner.Check(); err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			n.change(map[model.Ref]model.Object{{Kind: model.KindNodePolicy, Name: model.Name{Name: p.Name}}: nil})
		}
		if strings.Join(bare, "\n") != strings.Join(lines(n), "\n") {
			t.Fatalf("world %d: NodePolicies that are gone leave something behind", i)
		}
	}
	t.Logf("%d worlds, %d flows: %d denied, %d of them fail-safes that are closed, %d would be denied", hostWorlds, flows, denied, closed, audits)
	if min(denied, closed, audits) < flows/200 {
		t.Error("hardly anything of it was tried")
	}
}

// TestHostUnread: what can't be read fails closed, and says which field.
func TestHostUnread(t *testing.T) {
	for _, c := range []struct {
		spec, remark string
		denies       bool
		closes       bool
	}{
		{`{"ingress": 3}`, "spec.ingress", true, false},
		{`{"ingress": [{"action": "Accept", "from": [{"networks": ["0.0.0.0/0"]}], "sky": 1}]}`, "spec.ingress", true, false},
		{`{"ingress": [{"action": "Deny", "from": [{}]}]}`, "spec.ingress[0].from[0]", true, false},
		{`{"ingress": [{"action": "Perhaps", "from": [{"nodes": {}}]}]}`, "spec.ingress[0].action", true, false},
		{`{"failSafes": "Sometimes", "ingress": [{"action": "Deny", "from": [{"nodes": {}}]}]}`, "spec.failSafes", false, false},
		{`{"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}, "ingress": [{"action": "Deny", "from": [{"networks": ["0.0.0.0/0"]}]}]}`, "spec.nodeSelector", false, false},
	} {
		p := kube.ConvertNodePolicy(&api.Raw{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: []byte(c.spec)})
		found := false
		for _, r := range p.Remarks {
			found = found || strings.HasPrefix(r.Field, c.remark)
		}
		n := newNode(settings("n1"), kube.ConvertNode(hostNodes("east")[0]), p)
		for port, want := range map[uint16]bool{80: !c.denies, 22: true} {
			trail, err := n.tracer().Trace(row.NftInput, "policy-", row.NftPacket{Src: netip.MustParseAddr("198.51.100.1"), Dst: netip.MustParseAddr("192.0.2.1"), DstLocal: true,
				Protocol: 6, DstPort: port, State: row.NftStateNew})
			if err != nil || trail.Accepted() != want || !found {
				t.Errorf("%s: port %d: %t %v, want %t; %v", c.spec, port, trail.Accepted(), err, want, p.Remarks)
			}
		}
	}
}
