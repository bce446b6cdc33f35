//go:build policy

package policy

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// TestKilled kills the daemon of a node under load: no forbidden packet passes and no allowed one is lost,
// before, meanwhile and afterwards.
func TestKilled(t *testing.T) {
	w := shared
	w.one(t, "kill -9", func(t *testing.T) {
		w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)...)
		target := netip.AddrPortFrom(w.Pod("x/a").IPv4(), 80)
		w.until(t, "the policy holds", func() bool { return !w.Pod("x/c").Probe(probe.Request{To: target}).OK() })
		w.until(t, "the allowed pod is let in", func() bool { return w.Pod("x/b").Probe(probe.Request{To: target}).OK() })

		ctx, cancel := context.WithTimeout(w.ctx, 9*time.Second)
		defer cancel()
		var load sync.WaitGroup
		var good, bad *probe.Tally
		load.Go(func() { good, _ = w.Pod("x/b").Load(ctx, probe.Request{To: target}, 200, 8) })
		load.Go(func() {
			bad, _ = w.Pod("x/c").Load(ctx, probe.Request{To: target, Timeout: 200 * time.Millisecond}, 200, 8)
		})
		node := w.Node(w.Pod("x/a").NodeName())
		for range 3 {
			time.Sleep(time.Second)
			if err := node.KillDaemon(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
			if err := node.StartDaemon(); err != nil {
				t.Fatal(err)
			}
		}
		load.Wait()
		t.Logf("allowed: %s; forbidden: %s", good, bad)
		if !good.OK() || good.Total < 500 {
			t.Errorf("allowed requests: %s", good)
		}
		for pod, n := range bad.ByPod {
			t.Errorf("%d forbidden requests were answered by %s", n, pod)
		}
	})
}

func (w *the) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestTightened has flows end that a new policy forbids, and no others.
func TestTightened(t *testing.T) {
	w := shared
	for _, c := range []struct{ name, by, from string }{
		{"by a new policy", `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`, "x/c"},
		{"by egress", `spec: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Egress]}`, "x/c"},
	} {
		w.one(t, c.name, func(t *testing.T) {
			target := netip.AddrPortFrom(w.Pod("x/a").IPv4(), 80)
			stays, err := w.Pod("x/b").Open(probe.Request{To: target})
			if err != nil {
				t.Fatal(err)
			}
			defer stays.Close()
			w.until(t, "no policy is left", func() bool { return w.Pod(c.from).Probe(probe.Request{To: target}).OK() })
			ends, err := w.Pod(c.from).Open(probe.Request{To: target})
			if err != nil {
				t.Fatal(err)
			}
			defer ends.Close()
			w.apply(t, parse(t, c.by)...)
			w.until(t, "the forbidden flow ends", func() bool { return ends.Beat() != nil })
			for range 20 {
				if err := stays.Beat(); err != nil {
					t.Fatalf("an allowed flow ended: %v", err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	w.one(t, "by a label that goes", w.labelGoes)
}

// labelGoes takes from a pod the label by which it was let in.
func (w *the) labelGoes(t *testing.T) {
	w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)...)
	target := netip.AddrPortFrom(w.Pod("x/a").IPv6(), 80)
	w.until(t, "the policy holds", func() bool {
		return w.Pod("x/b").Probe(probe.Request{To: target}).OK() && !w.Pod("x/c").Probe(probe.Request{To: target}).OK()
	})
	line, err := w.Pod("x/b").Open(probe.Request{To: target})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	label := func(v string) {
		if err := w.Client.Merge(w.ctx, newPod("x", "b", ""), "", map[string]any{"metadata": map[string]any{"labels": map[string]string{"pod": v}}}); err != nil {
			t.Fatal(err)
		}
	}
	label("other")
	defer label("b")
	w.until(t, "the flow of a pod that left the set ends", func() bool { return line.Beat() != nil })
}

// apply makes policies for the length of a test.
func (w *the) apply(t *testing.T, list ...*networkingv1.NetworkPolicy) {
	t.Helper()
	for _, p := range list {
		if err := w.Client.Create(w.ctx, p.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Client.Delete(w.ctx, p.DeepCopy(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSeen asks the daemon what it dropped, and why.
func TestSeen(t *testing.T) {
	w := shared
	show := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := w.Node(w.Pod("x/a").NodeName()).Run(w.ctx, w.dir+"/kube-router", args...)
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return out
	}
	w.one(t, "why", func(t *testing.T) {
		w.holds(t, parse(t, `metadata: {name: only-b}
spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: web}]}]}`))
		for _, c := range [][2]string{
			{"x/b x/a 80/tcp", "allowed by policy x/only-b, spec.ingress[0]"},
			{"x/c x/a 80/tcp", "denied: isolated by policy [x/only-b], and no rule matches"},
			{"x/b x/a 81/tcp", "denied"}, {"x/a y/a 80/tcp", "no policy isolates it"},
		} {
			if out := show(t, append([]string{"why"}, strings.Fields(c[0])...)...); !strings.Contains(out, c[1]) || strings.Contains(out, "DIFFERS") {
				t.Errorf("why %s: want %q in\n%s", c[0], c[1], out)
			}
		}
	})
	w.one(t, "drops", func(t *testing.T) {
		w.apply(t, parse(t, `metadata: {name: nobody}
spec: {podSelector: {matchLabels: {pod: a}}}`)...)
		show(t, "show", "drops")
		f := netpol.Flow{To: w.Pod("x/a").IPv4(), Port: 81, Protocol: corev1.ProtocolTCP}
		var out string
		w.until(t, "a drop is told", func() bool {
			ask(place{do: w.Pod("y/b").Do}, f, 200*time.Millisecond)
			out = show(t, "show", "drops")
			return strings.Contains(out, "to x/a") && strings.Contains(out, "(y/b)") && strings.Contains(out, "isolated by policy [x/nobody]") &&
				strings.Contains(out, "ingress of x/a")
		})
		t.Log("\n" + out)
	})
}
