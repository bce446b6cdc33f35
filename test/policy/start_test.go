//go:build policy

package policy

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// firsts counts what pods' first packets came to.
type firsts struct {
	mu                            sync.Mutex
	born, leaked, refused, silent int
	odd                           []string
}

var first firsts

// born is called when a pod is connected, before anything else happens in it: it talks at once to one that
// it may talk to and to one that it may not.
func (w *the) born(h *lab.Host) {
	if !strings.HasPrefix(h.Name, "z/starter-") {
		return
	}
	allowed, forbidden := w.Pod("x/a"), w.Pod("x/b")
	var wait sync.WaitGroup
	var good, bad, datagram probe.Result
	p := place{do: h.Do}
	wait.Go(func() {
		good = ask(p, netpol.Flow{To: allowed.IPv4(), Port: 80, Protocol: corev1.ProtocolTCP}, 3*time.Second)
	})
	wait.Go(func() {
		bad = ask(p, netpol.Flow{To: forbidden.IPv4(), Port: 80, Protocol: corev1.ProtocolTCP}, 300*time.Millisecond)
	})
	wait.Go(func() {
		datagram = ask(p, netpol.Flow{To: forbidden.IPv6(), Port: 80, Protocol: corev1.ProtocolUDP}, 300*time.Millisecond)
	})
	wait.Wait()
	first.mu.Lock()
	defer first.mu.Unlock()
	first.born++
	if bad.OK() || datagram.OK() {
		first.leaked++
		first.odd = append(first.odd, fmt.Sprintf("%s leaked: %s, %s", h.Name, bad, datagram))
	}
	if !good.OK() {
		first.refused++
		first.odd = append(first.odd, fmt.Sprintf("%s was refused: %s", h.Name, good))
	}
	// A packet that had to be sent again was swallowed though it was allowed.
	if good.OK() && good.Took > 900*time.Millisecond {
		first.silent++
		first.odd = append(first.odd, fmt.Sprintf("%s had to try again: %s after %s", h.Name, good, good.Took))
	}
}

// TestFirstPackets starts a thousand pods that talk as soon as they can.
func TestFirstPackets(t *testing.T) {
	const together = 40
	starts, w := 1000, shared // fewer where an environment variable says so: system calls are dear in the guest
	if n, err := strconv.Atoi(os.Getenv("KUBE_ROUTER_POLICY_STARTS")); err == nil {
		starts = n
	}
	w.one(t, "starts", func(t *testing.T) {
		for _, p := range parse(t, `metadata: {namespace: z, name: starters}
spec: {podSelector: {matchLabels: {app: starter}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: a}}}]}]}`) {
			if err := w.Client.Create(w.ctx, p); err != nil {
				t.Fatal(err)
			}
			defer w.Client.Delete(w.ctx, p, nil)
		}
		begin := time.Now()
		for n := 0; n < starts; n += together {
			w.startSome(t, n, together)
		}
		first.mu.Lock()
		defer first.mu.Unlock()
		t.Logf("%d starts in %s: %d leaked, %d wrongly refused, %d had to try again", first.born, time.Since(begin).Round(time.Second), first.leaked, first.refused, first.silent)
		for _, o := range first.odd[:min(len(first.odd), 20)] {
			t.Error(o)
		}
		if first.born < starts {
			t.Errorf("only %d pods were born", first.born)
		}
	})
}

func (w *the) startSome(t *testing.T, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		p := newPod("z", fmt.Sprintf("starter-%d", i), fmt.Sprintf("n%d", 1+i%2))
		p.Labels = map[string]string{"app": "starter"}
		if err := w.Client.Create(w.ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	for i := from; i < from+n; i++ {
		if err := w.Client.Delete(w.ctx, newPod("z", fmt.Sprintf("starter-%d", i), ""), new(int64(0))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WaitGone(w.ctx, "z", "starter-"); err != nil {
		t.Fatal(err)
	}
}
