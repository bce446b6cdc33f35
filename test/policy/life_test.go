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

	"kube-router/internal/lab"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// TestKilled kills the daemon of a node under load and while policies change: no forbidden packet passes and no
// allowed one is lost, before, meanwhile and afterwards, in both directions and families; and what stands goes on.
func TestKilled(t *testing.T) {
	w := shared
	w.one(t, "kill -9", func(t *testing.T) {
		w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}
---
metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: a}}}]}]}`)...)
		web := func(pod string, v6 bool, proto string) probe.Request {
			r := probe.Request{To: netip.AddrPortFrom(w.Pod(pod).IPv4(), 80), Proto: proto, Timeout: 400 * time.Millisecond}
			if v6 {
				r.To = netip.AddrPortFrom(w.Pod(pod).IPv6(), 80)
			}
			return r
		}
		patient := func(r probe.Request) probe.Request { // a slow machine loses nothing; of UDP nothing is sent again
			r.Timeout = 3 * time.Second
			return r
		}
		loads := []*load{
			{from: "x/b", ask: patient(web("x/a", false, "tcp")), allowed: true}, {from: "x/c", ask: web("x/a", false, "tcp")},
			{from: "x/b", ask: patient(web("x/a", true, "udp")), allowed: true}, {from: "x/c", ask: web("x/a", true, "udp")},
			{from: "y/b", ask: patient(web("z/a", true, "tcp")), allowed: true}, {from: "y/b", ask: web("z/c", true, "tcp")},
			{from: "y/b", ask: patient(web("z/a", false, "udp")), allowed: true}, {from: "y/b", ask: web("z/c", false, "udp")},
		}
		for _, l := range loads {
			w.until(t, l.from+" to "+l.ask.To.String()+" as the policy says", func() bool { return w.Pod(l.from).Probe(l.ask).OK() == l.allowed })
		}
		stands, err := w.Pod("x/b").Open(probe.Request{To: web("x/a", false, "tcp").To, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer stands.Close()
		ctx, cancel := context.WithTimeout(w.ctx, 9*time.Second)
		defer cancel()
		var running sync.WaitGroup
		for _, l := range loads {
			running.Go(func() { l.tally, _ = w.Pod(l.from).Load(ctx, l.ask, 100, 4) })
		}
		running.Go(func() {
			if err := stands.Keep(ctx, 20*time.Millisecond); err != nil {
				t.Errorf("a standing connection: %v", err)
			}
		})
		running.Go(func() { w.churn(ctx, t) })
		w.killSome(t, w.Node(w.Pod("x/a").NodeName()))
		running.Wait()
		for _, l := range loads {
			t.Logf("%s to %s by %s, allowed %t: %s; the slowest %s", l.from, l.ask.To, l.ask.Proto, l.allowed, l.tally, l.tally.Slowest)
			if l.tally.Total < 200 || l.allowed && !l.tally.OK() || !l.allowed && len(l.tally.ByPod) > 0 {
				t.Errorf("%s to %s by %s, allowed %t: %s", l.from, l.ask.To, l.ask.Proto, l.allowed, l.tally)
			}
		}
		t.Logf("a standing connection: %d echoes, the slowest %s", stands.Beats, stands.Worst)
	})
}

// load is somebody who asks all the time.
type load struct {
	from    string
	ask     probe.Request
	allowed bool
	tally   *probe.Tally
}

// killSome kills a node's daemon three times, and lets it be dead for a while.
func (w *the) killSome(t *testing.T, node *lab.Node) {
	t.Helper()
	for i := range 3 {
		time.Sleep(time.Second + time.Duration(i)*37*time.Millisecond)
		if err := node.KillDaemon(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := node.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
}

// churn changes policies and labels that decide about none of the flows that are watched.
func (w *the) churn(ctx context.Context, t *testing.T) {
	p := parse(t, `metadata: {namespace: z, name: churn}
spec: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {churn: "yes"}}}]}]}`)[0]
	for i := 0; ctx.Err() == nil; i++ {
		if err := w.Client.Create(w.ctx, p.DeepCopy()); err != nil {
			t.Error(err)
		}
		label := map[string]any{"metadata": map[string]any{"labels": map[string]string{"churn": map[bool]string{true: "yes", false: "no"}[i%2 == 0]}}}
		if err := w.Client.Merge(w.ctx, newPod("z", "b", ""), "", label); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Millisecond)
		if err := w.Client.Delete(w.ctx, p.DeepCopy(), nil); err != nil {
			t.Error(err)
		}
	}
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
			return strings.Contains(out, " y/b:") && strings.Contains(out, "-> x/a:81 DROPPED (TCP)") && strings.Contains(out, "refused: default deny (ingress) by NetworkPolicy x/nobody") &&
				strings.Contains(out, "ingress of x/a")
		})
		t.Log("\n" + out)
	})
}
