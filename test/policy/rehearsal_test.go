//go:build policy

package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// tell runs the daemon's program on the node of a pod.
func (w *the) tell(t *testing.T, pod string, args ...string) string {
	t.Helper()
	out, err := w.Node(w.Pod(pod).NodeName()).Run(w.ctx, w.dir+"/kube-router", args...)
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

// rehearsed is how many packets rehearsals on both nodes would have ended.
func (w *the) rehearsed(t *testing.T) (n uint64) {
	t.Helper()
	for _, pod := range []string{"x/a", "x/b"} {
		var page struct {
			Counters []struct{ Packets uint64 } `json:"counters"`
		}
		if err := json.Unmarshal([]byte(w.tell(t, pod, "show", "rehearsal", "-o", "json")), &page); err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Counters {
			n += c.Packets
		}
	}
	return n
}

// TestRehearsal has what an audited policy of either kind would refuse pass, counted and shown by pods' names; and the policy bites at
// once when it is audited no longer, for new flows and for those that stand, and lets go when it is audited again.
func TestRehearsal(t *testing.T) {
	w := shared
	w.define(t)
	for _, c := range []struct {
		name, show, rule, account string
		policy                    *networkingv1.NetworkPolicy
		cluster                   *clusterapi.ClusterNetworkPolicy
	}{
		{name: "NetworkPolicy", show: "x/tried", account: "NetworkPolicy x/tried spec.ingress", rule: "isolated by policy [x/tried], and no rule matches",
			policy: parse(t, `metadata: {name: tried, annotations: {kube-router.io/enforcement: audit}}
spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)[0]},
		{name: "ClusterNetworkPolicy", show: "tried", account: "Admin tried spec.ingress[1]", rule: `spec.ingress[1] ("shut")`,
			cluster: parseCluster(t, `metadata: {name: tried, annotations: {kube-router.io/enforcement: audit}}
spec: {tier: Admin, priority: 3, subject: {pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: a}}}}, ingress: [
  {action: Accept, from: [{pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: b}}}}]}, {name: shut, action: Deny, from: [{namespaces: {}}]}]}`)},
	} {
		w.one(t, c.name, func(t *testing.T) {
			object := any(c.policy)
			if c.cluster != nil {
				w.applyCluster(t, c.cluster)
				object = c.cluster
			} else {
				w.apply(t, c.policy)
			}
			w.until(t, "the policy is rehearsed", func() bool { return strings.Contains(w.tell(t, "x/a", "show", "firewalls", "x/a"), "rehearsed") })
			w.tell(t, "x/a", "show", "rehearsal") // somebody looks
			for _, v6 := range []bool{false, true} {
				before := w.rehearsed(t)
				if got := w.ask("x/b", "x/a", v6, 80); !got.OK() || w.rehearsed(t) != before {
					t.Errorf("IPv6 %t: who may: %s, counted %d", v6, got, w.rehearsed(t)-before)
				}
				if got := w.ask("y/c", "x/a", v6, 80); !got.OK() {
					t.Errorf("IPv6 %t: who wouldn't: %s", v6, got)
				}
				if n := w.rehearsed(t) - before; n != 1 {
					t.Errorf("IPv6 %t: one flow is counted %d times", v6, n)
				}
			}
			w.until(t, "the flow is shown", func() bool {
				w.ask("y/c", "x/a", true, 80)
				out := w.tell(t, "x/a", "show", "rehearsal")
				return strings.Contains(out, "(y/c)") && strings.Contains(out, "(x/a) tcp") &&
					strings.Contains(out, c.account) && strings.Contains(out, c.rule) && strings.Contains(out, "passes")
			})
			t.Log("\n" + w.tell(t, "x/a", "show", "rehearsal"))
			if out := w.tell(t, "x/a", "show", "policies", c.show); !strings.Contains(out, "if it were enforced") {
				t.Errorf("show policies %s:\n%s", c.show, out)
			}
			if out := w.tell(t, "x/a", "show", "drops"); strings.Contains(out, "ingress of x/a") {
				t.Errorf("what passes is a drop:\n%s", out)
			}
			why := w.tell(t, "x/a", "why", "y/c", "x/a", "80/tcp")
			if !strings.Contains(why, "passes, and would be refused") || !strings.Contains(why, c.rule) || strings.Contains(why, "DIFFERS") {
				t.Errorf("why:\n%s", why)
			}
			line := w.open(t, w.Pod("y/c"), netip.AddrPortFrom(w.Pod("x/a").IPv4(), 80))
			defer line.Close()
			annotate := func(value any) {
				t.Helper()
				if err := w.annotate(object, map[string]any{netpol.AuditKey: value}); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				if err := line.Beat(); err != nil {
					t.Fatalf("a flow that stands: %v", err)
				}
			}
			for i, value := range []any{nil, netpol.AuditValue, "AUDIT", netpol.AuditValue, "enforce"} {
				annotate(value)
				for _, v6 := range []bool{false, true} {
					w.until(t, fmt.Sprintf("%v, IPv6 %t", value, v6), func() bool { return w.ask("y/c", "x/a", v6, 80).OK() == (value == netpol.AuditValue) })
					if got := w.ask("x/b", "x/a", v6, 80); !got.OK() {
						t.Errorf("%v, IPv6 %t: who may: %s", value, v6, got)
					}
				}
				if i == 0 {
					w.until(t, "the flow that stood ends", func() bool { return line.Beat() != nil })
				}
				if value == "AUDIT" {
					w.until(t, "a remark", func() bool {
						return strings.Contains(w.tell(t, "x/a", "show", "remarks"), `"AUDIT" is neither audit nor enforce`)
					})
				}
			}
		})
	}
}

// annotate changes annotations of a policy.
func (w *the) annotate(object any, annotations map[string]any) error {
	patch := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	if o, ok := object.(*networkingv1.NetworkPolicy); ok {
		return w.Client.Merge(w.ctx, o.DeepCopy(), "", patch)
	}
	return w.mergeCluster(object.(*clusterapi.ClusterNetworkPolicy), patch)
}

// TestRehearsalGenerated: in random worlds audited policies change no verdict, and what is counted is what the API's words say would end
// if they were enforced.
func TestRehearsalGenerated(t *testing.T) {
	w := shared
	w.define(t)
	const sets, tries = 8, 12
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(17, 4)), Audits: true}
	for i := range sets {
		var list []*networkingv1.NetworkPolicy
		var cluster []*clusterapi.ClusterNetworkPolicy
		for j := range g.IntN(5) {
			p := g.Policy(fmt.Sprintf("r%d", j))
			p.APIVersion, p.Kind = "networking.k8s.io/v1", "NetworkPolicy"
			list = append(list, p)
		}
		for j := range 1 + g.IntN(4) {
			p := g.ClusterPolicy(fmt.Sprintf("r%d", j))
			p.UID = ""
			cluster = append(cluster, p)
		}
		w.one(t, fmt.Sprint("rehearsal ", i), func(t *testing.T) {
			for _, p := range cluster {
				w.applyCluster(t, p)
			}
			all := w.holdsWith(t, list, cluster)
			enforced, places, would, wouldnt := all.Enforced(), w.places(), 0, 0
			for range 20 * tries {
				from, to := places[g.IntN(9)], places[g.IntN(9)]
				v6, port := g.IntN(2) == 0, int32(80+g.IntN(2))
				f := netpol.Flow{From: from.v4, To: to.v4, Protocol: "TCP", Port: port}
				if v6 {
					f.From, f.To = from.v6, to.v6
				}
				ends := !all.Allowed(f)
				if from.name == to.name || !enforced.Allowed(f) || ends && would == tries || !ends && wouldnt == tries {
					continue
				}
				before := w.rehearsed(t)
				got := from.do(func() error {
					r := probe.Once(probe.Request{To: netip.AddrPortFrom(f.To, uint16(f.Port)), Proto: "tcp", Timeout: 3 * time.Second})
					if !r.OK() {
						return fmt.Errorf("%s", r)
					}
					return nil
				})
				n := w.rehearsed(t) - before
				if got != nil || (n > 0) != ends {
					t.Errorf("%s → %s/%d, IPv6 %t: %v; counted %d, would end: %t", from.name, to.name, port, v6, got, n, ends)
				}
				if ends {
					would++
				} else {
					wouldnt++
				}
			}
			t.Logf("%d flows would end, %d wouldn't", would, wouldnt)
		})
	}
}

// mergeCluster patches a ClusterNetworkPolicy.
func (w *the) mergeCluster(o *clusterapi.ClusterNetworkPolicy, patch map[string]any) error {
	patch["apiVersion"], patch["kind"] = clusterapi.Versions()[0].String(), clusterapi.Kind
	patch["metadata"].(map[string]any)["name"] = o.Name
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return w.Apply(w.ctx, string(text))
}
