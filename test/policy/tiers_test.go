//go:build policy

package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// define installs the kind in a cluster whose daemons run already, and waits until they read it.
func (w *the) define(t *testing.T) {
	t.Helper()
	crd, err := os.ReadFile("../../deploy/kustomize/policy-crd/clusternetworkpolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(w.ctx, string(crd)); err != nil {
		t.Fatal(err)
	}
	const first = `apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: first}
spec: {tier: Admin, priority: 0, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 81}}}]}]}`
	if err := w.Apply(w.ctx, first); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Delete(w.ctx, first); err != nil {
			t.Error(err)
		}
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if !w.ask("x/a", "x/b", false, 81).OK() && !w.ask("z/a", "z/b", false, 81).OK() && !w.ask("x/a", "x/c", false, 81).OK() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a kind that appears later is not read within a minute")
		}
	}
}

// cluster applies ClusterNetworkPolicies until the end of the test.
func (w *the) cluster(t *testing.T, texts ...string) (list []*clusterapi.ClusterNetworkPolicy) {
	t.Helper()
	for _, text := range texts {
		p := parseCluster(t, text)
		list = append(list, p)
		w.applyCluster(t, p)
	}
	return list
}

func parseCluster(t *testing.T, text string) *clusterapi.ClusterNetworkPolicy {
	t.Helper()
	p := &clusterapi.ClusterNetworkPolicy{}
	if err := yaml.Unmarshal([]byte(text), p); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

func (w *the) applyCluster(t *testing.T, p *clusterapi.ClusterNetworkPolicy) {
	t.Helper()
	p.APIVersion, p.Kind = clusterapi.Versions()[0].String(), clusterapi.Kind
	text, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(w.ctx, string(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Delete(w.ctx, string(text)); err != nil {
			t.Error(err)
		}
	})
}

func (w *the) ask(from, to string, v6 bool, port uint16) probe.Result {
	a := w.Pod(to).IPv4()
	if v6 {
		a = w.Pod(to).IPv6()
	}
	return w.Pod(from).Probe(probe.Request{To: netip.AddrPortFrom(a, port), Proto: "tcp", Timeout: 500 * time.Millisecond})
}

// TestTiers has tiers judge real packets in their order. What is denied is silent; a Refuse of NetworkPolicies between them is not.
func TestTiers(t *testing.T) {
	w := shared
	w.define(t)
	const (
		denyAll  = `metadata: {name: deny}` + "\n" + `spec: {tier: Admin, priority: 50, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`
		passY    = `metadata: {name: pass}` + "\n" + `spec: {tier: Admin, priority: 10, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Pass, from: [{namespaces: {matchLabels: {ns: "y"}}}]}]}`
		acceptZ  = `metadata: {name: accept}` + "\n" + `spec: {tier: Admin, priority: 20, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Accept, from: [{pods: {namespaceSelector: {matchLabels: {ns: z}}, podSelector: {matchLabels: {pod: a}}}}]}]}`
		baseline = `metadata: {name: base}` + "\n" + `spec: {tier: Baseline, priority: 0, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`
		shut     = `spec: {podSelector: {}}`
		egress   = `metadata: {name: out}` + "\n" + `spec: {tier: Admin, priority: 0, subject: {namespaces: {matchLabels: {ns: "y"}}}, egress: [{action: Accept, to: [{namespaces: {matchLabels: {ns: x}}}], protocols: [{destinationNamedPort: web}]}, {action: Deny, to: [{networks: [0.0.0.0/0, "::/0"]}], protocols: [{tcp: {destinationPort: {range: {start: 80, end: 90}}}}]}]}`
	)
	const ok, silent, refused = "passes", "silent", "refused"
	for _, c := range []struct {
		name    string
		cluster []string
		policy  string
		want    map[string]string // from → to:port
	}{
		{"deny", []string{denyAll}, "", map[string]string{"y/a x/a 80": silent, "x/b x/a 80": silent, "x/a y/a 80": ok}},
		{"accept before deny", []string{denyAll, acceptZ}, shut, map[string]string{"z/a x/a 80": ok, "z/b x/a 80": silent}},
		{"pass to a policy that refuses", []string{denyAll, passY}, shut, map[string]string{"y/a x/a 80": refused, "z/b x/a 80": silent}},
		{"pass to no policy", []string{denyAll, passY}, "", map[string]string{"y/a x/a 80": ok, "z/b x/a 80": silent}},
		{"pass to the baseline", []string{denyAll, passY, baseline}, "", map[string]string{"y/a x/a 80": silent}},
		{"a policy overrides the baseline", []string{baseline}, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`,
			map[string]string{"z/b x/a 80": ok, "y/a x/a 80": refused, "z/b x/b 80": silent}},
		{"both ends", []string{egress, denyAll, acceptZ}, "", map[string]string{"y/a x/a 80": silent, "y/b z/a 80": silent, "y/b z/a 81": silent}},
		{"names and ranges of ports", []string{egress}, "", map[string]string{"y/a x/a 80": ok, "y/a x/a 81": silent, "y/b z/a 80": silent, "z/b z/a 80": ok}},
	} {
		w.one(t, c.name, func(t *testing.T) {
			w.cluster(t, c.cluster...)
			if c.policy != "" {
				w.apply(t, parse(t, c.policy)...)
			}
			for flow, want := range c.want {
				for _, v6 := range []bool{false, true} {
					var from, to string
					var port uint16
					if _, err := fmt.Sscan(flow, &from, &to, &port); err != nil {
						t.Fatal(err)
					}
					var got probe.Result
					w.until(t, fmt.Sprintf("%s, IPv6 %t, %s", flow, v6, want), func() bool {
						got = w.ask(from, to, v6, port)
						return map[string]bool{ok: got.OK(), silent: got.Class == probe.Timeout, refused: got.Class == probe.Refused}[want]
					})
				}
			}
		})
	}
}

// TestTiersCut has a flow end that a ClusterNetworkPolicy forbids: by coming, and by a peer that comes into what it selects.
func TestTiersCut(t *testing.T) {
	w := shared
	w.define(t)
	w.one(t, "flows that stood", func(t *testing.T) {
		target := netip.AddrPortFrom(w.Pod("x/a").IPv4(), 80)
		stays, ends := w.open(t, w.Pod("z/b"), target), w.open(t, w.Pod("y/c"), target)
		defer stays.Close()
		defer ends.Close()
		w.cluster(t, `metadata: {name: cut}
spec: {tier: Admin, priority: 0, subject: {pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {}}}, ingress: [{action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {cut: "yes"}}}}]}]}`)
		label := func(value any) {
			t.Helper()
			if err := w.Client.Merge(w.ctx, newPod("y", "c", ""), "", map[string]any{"metadata": map[string]any{"labels": map[string]any{"cut": value}}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			if err := ends.Beat(); err != nil {
				t.Fatalf("nobody is denied yet: %v", err)
			}
		}
		label("yes")
		defer label(nil)
		w.until(t, "the flow of whom a rule denies now", func() bool { return ends.Beat() != nil })
		if err := stays.Beat(); err != nil {
			t.Errorf("the other flow: %v", err)
		}
	})
}

// TestTiersGenerated compares packets with the API's words for random policies of both kinds.
func TestTiersGenerated(t *testing.T) {
	w := shared
	w.define(t)
	const sets = 10
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(11, 1))}
	for i := range sets {
		var list []*networkingv1.NetworkPolicy
		var cluster []*clusterapi.ClusterNetworkPolicy
		for j := range g.IntN(4) {
			list = append(list, g.Policy(fmt.Sprintf("g%d", j)))
		}
		for j := range 1 + g.IntN(4) {
			p := g.ClusterPolicy(fmt.Sprintf("c%d", j))
			p.UID = ""
			cluster = append(cluster, p)
		}
		w.one(t, fmt.Sprint("tiers ", i), func(t *testing.T) {
			for _, p := range cluster {
				w.applyCluster(t, p)
			}
			w.holdsWith(t, list, cluster)
		})
	}
}
