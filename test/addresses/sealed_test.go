//go:build addresses

package addresses

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// chatter has pods ask the host outside over and over, in both families and protocols. Nobody minds whether it answers: what counts is
// who is heard there.
func (s *scene) chatter(t *testing.T, pods []*lab.Host) (stop func() (answered int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	var answered atomic.Int64
	for _, p := range pods {
		for _, a := range s.Outside().Addrs() {
			for _, proto := range []string{"tcp", "udp"} {
				wg.Go(func() {
					for ctx.Err() == nil {
						if p.Probe(probe.Request{To: netip.AddrPortFrom(a, port), Proto: proto, Timeout: 100 * time.Millisecond}).OK() {
							answered.Add(1)
						}
						time.Sleep(20 * time.Millisecond)
					}
				})
			}
		}
	}
	return func() int { cancel(); wg.Wait(); return int(answered.Load()) }
}

// settled waits until every node has written what the gateway needs.
func (s *scene) settled(t *testing.T) {
	t.Helper()
	for _, a := range []netip.Addr{pay4, pay6} {
		s.home(t, a, "n3", "n4")
	}
	time.Sleep(time.Second) // the rows of the last plan, and the flows of before, which are looked for twice
}

// TestNotOnePacketLeavesOtherwise: pods talk without a pause while the gateway is made and moves, while daemons restart or are killed, and when nobody
// is the gateway. From the moment that the gateway's rules stand not one packet has another source.
func TestNotOnePacketLeavesOtherwise(t *testing.T) {
	s := newScene(t, lab.Config{}, "n3", "n4")
	stop := s.chatter(t, s.Pods("pay", "app=web"))
	time.Sleep(500 * time.Millisecond)
	s.must(t, s.Apply(s.ctx, payGateway)) // later than the pods and their flows
	s.settled(t)
	s.heard.take()
	watch := func(what string, f func()) {
		t.Helper()
		f()
		time.Sleep(500 * time.Millisecond)
		seen := s.heard.take()
		delete(seen, pay4)
		delete(seen, pay6)
		judge(t, "nobody hears another source: "+what, only(seen))
	}
	watch("as it stands", func() { time.Sleep(time.Second) })
	for _, n := range s.Nodes() {
		watch("the daemon of "+n.Name+" restarts", func() { s.must(t, n.RestartDaemon()) })
		watch("the daemon of "+n.Name+" is killed", func() {
			s.must(t, n.KillDaemon())
			time.Sleep(500 * time.Millisecond)
			s.must(t, n.StartDaemon())
			time.Sleep(time.Second)
		})
	}
	label := func(node, value string) {
		s.must(t, s.Apply(s.ctx, fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {egress: "%s"}}}`, node, value)))
	}
	for range 3 {
		watch("the gateway moves to and fro", func() {
			for _, n := range []string{"n3", "n4"} {
				label(n, "no")
				time.Sleep(300 * time.Millisecond)
				label(n, "yes")
				time.Sleep(300 * time.Millisecond)
			}
		})
	}
	watch("nobody is the gateway", func() { label("n3", "no"); label("n4", "no"); time.Sleep(time.Second) })
	watch("the pods' own nodes are", func() { label("n1", "yes"); label("n2", "yes"); time.Sleep(time.Second) })
	watch("they cease to be", func() {
		label("n1", "no")
		label("n3", "yes")
		label("n2", "no")
		label("n4", "yes")
		time.Sleep(time.Second)
	})
	s.settled(t)
	watch("as it stands again", func() { time.Sleep(time.Second) })
	if n := stop(); n == 0 {
		judge(t, "pods were answered", "not once")
	}
}

// TestFirstPackets: pods start in a loop, each begins to talk before anything else happens in it, on every node; no first packet has another
// source, be the daemon of its node just up or not.
func TestFirstPackets(t *testing.T) {
	var begun atomic.Int64
	var s *scene
	talk := func(h *lab.Host) {
		if s == nil || h.NodeName() == "" {
			return
		}
		var wg sync.WaitGroup
		for _, a := range s.Outside().Addrs() {
			for _, proto := range []string{"udp", "tcp"} {
				wg.Go(func() {
					for range 5 {
						h.Probe(probe.Request{To: netip.AddrPortFrom(a, port), Proto: proto, Timeout: 50 * time.Millisecond})
					}
				})
			}
		}
		wg.Wait()
		begun.Add(1)
	}
	made := newScene(t, lab.Config{PodStarted: talk}, "n3", "n4")
	made.must(t, made.Apply(made.ctx, payGateway))
	made.settled(t)
	s = made
	s.heard.take()
	const rounds = 6
	for i := range rounds {
		manifest := ""
		for j := range 8 {
			manifest += fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: short-%d, namespace: pay, labels: {app: short}}
spec:
  nodeName: n%d
  terminationGracePeriodSeconds: 0
  containers: [{name: web, image: lab}]
---`, j, j%4+1)
		}
		s.must(t, s.Apply(s.ctx, manifest))
		if i%3 == 1 {
			s.must(t, s.Node(fmt.Sprintf("n%d", i%4+1)).KillDaemon())
			time.Sleep(200 * time.Millisecond)
			s.must(t, s.Node(fmt.Sprintf("n%d", i%4+1)).StartDaemon())
		}
		s.must(t, s.Until(s.ctx, "pods that talked", func() error {
			if n := begun.Load(); n < int64(8*(i+1)) {
				return fmt.Errorf("%d", n)
			}
			return nil
		}))
		s.must(t, s.Delete(s.ctx, manifest))
		s.must(t, s.WaitGone(s.ctx, "pay", "short-"))
	}
	seen := s.heard.take()
	heard := total(seen)
	judge(t, fmt.Sprintf("%d pods were heard from the gateway's addresses", begun.Load()), only(seen, pay4, pay6))
	t.Logf("%d packets", heard)
}
