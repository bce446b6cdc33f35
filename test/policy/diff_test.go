//go:build policy

package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// foretold is one flow that a diff tells.
type foretold struct {
	From, To string
	Flow     struct {
		From, To netip.Addr
		Protocol int
		Port     uint16
	}
	Passes, Other bool
}

// diff asks what a manifest would change, on the node of a pod.
func (w *the) diff(t *testing.T, pod, manifest string) (list []foretold, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	var page struct{ Flows []foretold }
	if err := json.Unmarshal([]byte(w.tell(t, pod, "policy", "diff", "-f", file, "-o", "json")), &page); err != nil {
		t.Fatal(err)
	}
	return page.Flows, w.tell(t, pod, "policy", "diff", "-f", file)
}

// TestDiff: what is told of a manifest before it is applied is so by packets before and after, and nothing is applied by asking.
func TestDiff(t *testing.T) {
	w := shared
	w.define(t)
	w.one(t, "words", func(t *testing.T) {
		w.apply(t, parse(t, `metadata: {name: stands}
spec: {podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{podSelector: {}}]}]}`)...)
		w.until(t, "the policy stands", func() bool { return !w.ask("y/c", "x/b", false, 80).OK() })
		long := strings.Repeat("# a manifest may be longer than a line of a question\n", 1000)
		_, out := w.diff(t, "x/a", long+`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: new, namespace: x}
spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}`)
		for _, want := range []string{"ingress of x/a", "open", "would be refused", "y/c → x/a: TCP/80", "z/a → x/a", "at any other port", "isolated by policy [x/new]"} {
			if !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if _, out := w.diff(t, "x/b", `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: stands, namespace: x}
spec: {podSelector: {matchLabels: {pod: b}}, ingress: [{}]}`); !strings.Contains(out, "would pass") || strings.Contains(out, "would be refused") {
			t.Errorf("a policy that opens:\n%s", out)
		}
		if got := w.ask("y/c", "x/a", true, 80); !got.OK() {
			t.Errorf("asking applies: %s", got)
		}
	})
	const sets = 4
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(23, 9))}
	for i := range sets {
		p, c := g.Policy("new"), g.ClusterPolicy("new")
		p.APIVersion, p.Kind, c.UID = "networking.k8s.io/v1", "NetworkPolicy", ""
		c.APIVersion, c.Kind = clusterapi.Versions()[0].String(), clusterapi.Kind
		w.one(t, fmt.Sprint("packets ", i), func(t *testing.T) {
			var texts []string
			for _, o := range []any{p, c} {
				text, err := yaml.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, string(text))
			}
			told := map[string]foretold{}
			for _, pod := range []string{"x/a", "x/b"} { // both nodes
				list, _ := w.diff(t, pod, strings.Join(texts, "\n---\n"))
				for _, f := range list {
					if strings.Contains(f.From, "/") && strings.Contains(f.To, "/") && !f.Other && f.Flow.Protocol == 6 && (f.Flow.Port == 80 || f.Flow.Port == 81) {
						told[fmt.Sprint(f.Flow)] = f
					}
				}
			}
			try := func(from, to place, v6 bool, port uint16) bool {
				a := to.v4
				if v6 {
					a = to.v6
				}
				var r probe.Result
				_ = from.do(func() error {
					r = probe.Once(probe.Request{To: netip.AddrPortFrom(a, port), Proto: "tcp", Timeout: 3e9})
					return nil
				})
				return r.OK()
			}
			before := w.oracle(nil)
			w.applyCluster(t, c)
			after := w.holdsWith(t, []*networkingv1.NetworkPolicy{p}, []*clusterapi.ClusterNetworkPolicy{c}) // by packets
			differ := 0
			places := w.places()[:9]
			for _, from := range places {
				for _, to := range places {
					for _, v6 := range []bool{false, true} {
						for _, port := range []uint16{80, 81} {
							f := netpol.Flow{From: from.v4, To: to.v4, Protocol: "TCP", Port: int32(port)}
							if v6 {
								f.From, f.To = from.v6, to.v6
							}
							if from.name == to.name || before.Allowed(f) == after.Allowed(f) {
								continue
							}
							differ++
							key := foretold{}
							key.Flow.From, key.Flow.To, key.Flow.Protocol, key.Flow.Port = f.From, f.To, 6, port
							if f, ok := told[fmt.Sprint(key.Flow)]; !ok || f.Passes != after.Allowed(netpol.Flow{From: key.Flow.From, To: key.Flow.To, Protocol: "TCP", Port: int32(port)}) {
								t.Errorf("%s → %s/%d, IPv6 %t: told %t", from.name, to.name, port, v6, ok)
							}
							if differ%8 == 0 && try(from, to, v6, port) {
								t.Errorf("%s → %s/%d, IPv6 %t passes", from.name, to.name, port, v6)
							}
						}
					}
				}
			}
			if differ != len(told) {
				t.Errorf("%d flows were told, %d are otherwise", len(told), differ)
			}
			t.Logf("%d flows are otherwise, as was told", differ)
		})
	}
}
