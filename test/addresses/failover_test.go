//go:build addresses

package addresses

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// follow leads the router to whichever node says of itself that it is the gateway of an address, as an announcement would.
func (s *scene) follow(t *testing.T, a netip.Addr, nodes ...string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			was := false
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
				if !s.Node(n).DaemonRunning() {
					was = false
					continue
				}
				l, err := s.shown(n, a)
				is := err == nil && l.Node == n
				if is && !was {
					f := 0
					if a.Is6() {
						f = 1
					}
					_ = s.Fabric().Route(netip.PrefixFrom(a, a.BitLen()), s.Node(n).Addrs()[f])
				}
				was = is
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// TestFailOver: a gateway loses its power, comes back, and is taken out by its label, while a pod of another node asks without a pause and a connection
// stands; the address stays, nobody hears another, and the pod is answered again in time.
func TestFailOver(t *testing.T) {
	s := newScene(t, lab.Config{}, "n3", "n4")
	s.must(t, s.Apply(s.ctx, payGateway))
	s.settled(t)
	var pod *lab.Host
	for _, p := range s.Pods("pay", "app=web") {
		if p.NodeName() == "n1" {
			pod = p
		}
	}
	for _, a := range []netip.Addr{pay4, pay6} {
		stop := s.follow(t, a, "n3", "n4")
		f := 0
		if a.Is6() {
			f = 1
		}
		to := netip.AddrPortFrom(s.Outside().Addrs()[f], port)
		judge(t, "before", s.from(t, pod, "tcp", a))
		var longest atomic.Int64
		ended := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			last := time.Now()
			for {
				select {
				case <-ended:
					return
				default:
				}
				if pod.Probe(probe.Request{To: to, Proto: "udp", Timeout: 50 * time.Millisecond}).OK() {
					longest.Store(max(longest.Load(), int64(time.Since(last))))
					last = time.Now()
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
		s.heard.take()
		gone := s.home(t, a, "n3", "n4")
		line, err := pod.Open(probe.Request{To: to, Timeout: 5 * time.Second})
		s.must(t, err)
		longest.Store(0)
		s.must(t, s.Node(gone).PowerOff())
		s.must(t, s.Until(s.ctx, "the other node", func() error {
			l, err := s.shown("n1", a)
			if err == nil && l.Node == gone {
				err = fmt.Errorf("still %s", gone)
			}
			return err
		}))
		judge(t, "answered after the power-off of "+gone, s.from(t, pod, "tcp", a))
		time.Sleep(time.Second)
		gap := time.Duration(longest.Load())
		complaint := ""
		if gap > 2*time.Second || gap == 0 {
			complaint = gap.String()
		}
		judge(t, fmt.Sprintf("%s: at most 2 s without an answer after the power-off of %s, it was %s", a, gone, gap.Round(time.Millisecond)), complaint)
		complaint = ""
		if err := line.Beat(); err != nil {
			complaint = err.Error()
		}
		judge(t, "a connection that stood lives on", complaint)
		line.Close()
		close(ended)
		wg.Wait()
		judge(t, "nobody heard another source than "+a.String(), only(s.heard.take(), a))
		s.must(t, s.Node(gone).Cable(true))
		s.must(t, s.Node(gone).StartDaemon())
		s.home(t, a, "n3", "n4")
		stop()
	}
}
