//go:build services

package services

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

const beginGroup = "Services that begin and end"

// TestBeginAndEnd makes 200 Services one after another, each with a node port at which a client outside knocks all the time, and whose
// only endpoint is on another node: it is refused until it is served, and served until it is refused, and never left without an
// answer. Who is served must have the node's address by then (masquerade), or the answer goes past the node.
func TestBeginAndEnd(t *testing.T) {
	w, many := shared, 200
	w.begun(t, netip.MustParsePrefix("10.96.202.0/24"), netip.MustParsePrefix("fd00:10:96::ca00/120"), many)
}

// enough connections without an answer show that there is no order; each costs its patience.
const enough = 10

func (w *the) begun(t *testing.T, v4, v6 netip.Prefix, many int) {
	if err := w.Client.Create(w.ctx, newPod("begin", "begin", "n2")); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	var silent [2]int
	var slowest [2]time.Duration
	a4, a6 := v4.Addr(), v6.Addr()
	for i := range many {
		a4, a6 = a4.Next(), a6.Next()
		s := newService(fmt.Sprintf("begin-%d", i), 0, "begin")
		s.Spec.ClusterIP, s.Spec.ClusterIPs = a4.String(), texts([]netip.Addr{a4, a6})
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports = s.Spec.Ports[:1]
		s.Spec.Ports[0].NodePort = int32(31_000 + i)
		at := netip.AddrPortFrom(w.Node("n1").Addrs()[i%2], uint16(31_000+i))
		for end, act := range []func() error{
			func() error { return w.Client.Create(w.ctx, s) },
			func() error { return w.Client.Delete(w.ctx, s, nil) },
		} {
			lost, took, err := w.knock(at, end == 0, act)
			if err != nil {
				t.Fatalf("Service %d: %v", i, err)
			}
			silent[end] += lost
			println(i, end, lost, took.Milliseconds())
			slowest[end] = max(slowest[end], took)
		}
		if silent[0]+silent[1] >= enough {
			many = i + 1
			break
		}
	}
	for end, name := range []string{"begin", "end"} {
		var err error
		if silent[end] > 0 {
			err = fmt.Errorf("%d connections got no answer", silent[end])
		}
		w.score.Judge(t, beginGroup, fmt.Sprintf("%d Services %s, and no client is left without an answer", many, name), err, "the slowest after %s", slowest[end].Round(time.Millisecond))
	}
}

// knock connects from outside again and again, from before something is done until its consequence: a connection that is served, or
// refused. It tells how many were neither.
func (w *the) knock(at netip.AddrPort, served bool, act func() error) (silent int, took time.Duration, err error) {
	done := make(chan error, 1)
	begun := time.Now()
	go func() { done <- act() }()
	err = w.Outside().Do(func() error {
		for time.Since(begun) < 30*time.Second {
			c, err := net.DialTimeout("tcp", at.String(), 4*time.Second) // the first packet's first repetition is after one, the second after three
			switch {
			case err == nil:
				c.Close()
			case errors.Is(err, unix.ECONNREFUSED):
				time.Sleep(time.Millisecond) // the node has work to do
			default:
				silent++
			}
			if served == (err == nil) {
				return nil
			}
		}
		return errors.New("nothing came of it within 30 s")
	})
	return silent, time.Since(begun), errors.Join(err, <-done)
}
