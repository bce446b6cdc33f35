//go:build encryption || (guest && counted)

package encryption

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// counted is how many connections the counted run makes at least, and events how many things happen to nodes meanwhile. The whole number, 10,000 and
// 20, takes minutes: -counted 10000 -events 20. The guest's one processor is slow at it: there it is built with the tag "counted" beside "guest".
var (
	counted = flag.Int("counted", 500, "connections of the counted run")
	events  = flag.Int("events", 5, "starts, kills, changes of keys, joins and leaves during the counted run")
)

// TestCounted is a strict cluster in which nodes start, are killed, change keys, join and leave while connections, datagrams and large transfers are
// counted.
func TestCounted(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3, Subnets: 2}, strict...)
	w.tap()
	w.check(w.within(time.Minute, func() error { return errors.Join(w.steered(w.Nodes()...), w.everyPair(0), w.everyPair(1)) }))
	more := w.also()
	var happened []string
	var err error
	total, begun := 0, time.Now()
	for err == nil && (len(happened) < *events || total < *counted) {
		l := w.begins(10)
		for since := time.Now(); time.Since(since) < 15*time.Second; {
			if len(happened) < *events {
				happened = append(happened, w.happens(len(happened)))
			} else {
				time.Sleep(time.Second)
			}
			if *events == len(happened) && time.Since(since).Seconds()*60 > float64(*counted-total) {
				break
			}
		}
		var n int
		n, err = l.ends()
		total += n
	}
	group := "counted"
	w.judge(group, "no connection fails", err, "of %d in %s, with %s", total, time.Since(begun).Round(time.Second), strings.Join(happened, ", "))
	datagrams, large := more()
	err = nil
	if lost := datagrams.Total - datagrams.answered(); lost*100 > datagrams.Total || datagrams.Total == 0 {
		err = fmt.Errorf("%d of %d are lost: %s", lost, datagrams.Total, datagrams)
	}
	w.judge(group, "datagrams come, of 4,000 bytes as well", err, "%d of %d are answered", datagrams.answered(), datagrams.Total)
	if err = nil; !large.OK() {
		err = errors.New(large.String())
	}
	w.judge(group, "large transfers are whole", err, "%d of a megabyte", large.Total)
	w.judge(group, "no packet of a pod was on any wire in clear", w.inClear(), "on the wires of %d nodes, %d packets were encrypted", len(w.wires), w.sealed())
}

// tally is one of probe's, for a sum.
type tally struct{ probe.Tally }

func (t *tally) answered() (n int) {
	for _, k := range t.ByPod {
		n += k
	}
	return n
}

// also asks by datagrams and for large transfers until it is ended.
func (w *world) also() func() (datagrams, large *tally) {
	ctx, cancel := context.WithCancel(w.ctx)
	var done sync.WaitGroup
	var mu sync.Mutex
	small, big := &tally{}, &tally{}
	for f := range families {
		from, to := w.pod("n1"), netip.AddrPortFrom(w.pod("n3").Addrs()[f], port)
		for i, q := range []probe.Request{{To: to, Proto: "udp", Timeout: 5 * time.Second}, {To: to, Proto: "udp", Size: 4000, Timeout: 5 * time.Second}, {To: to, Path: "/bytes?n=1000000", Timeout: 20 * time.Second}} {
			done.Go(func() {
				for ctx.Err() == nil {
					r := from.Probe(q)
					mu.Lock()
					if i < 2 {
						small.Add(r)
					} else {
						if r.OK() && r.Bytes != 1_000_000 {
							r.Class, r.Err = probe.Garbled, fmt.Sprintf("%d bytes", r.Bytes)
						}
						big.Add(r)
					}
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
	}
	return func() (*tally, *tally) {
		cancel()
		done.Wait()
		return small, big
	}
}

// sealed is how many packets of WireGuard were on the wires.
func (w *world) sealed() (n int64) {
	for _, tap := range w.wires {
		n += tap.sealed.Load()
	}
	return n
}

// happens lets the next thing happen to a node, and tells what.
func (w *world) happens(i int) string {
	w.t.Helper()
	n := w.Nodes()[(i/5)%3]
	switch i % 5 {
	case 0:
		w.check(n.RestartDaemon(strict...))
		time.Sleep(time.Second)
		return "a start of " + n.Name
	case 1:
		w.check(n.KillDaemon())
		time.Sleep(300 * time.Millisecond)
		w.check(n.StartDaemon(strict...))
		time.Sleep(time.Second)
		return "a kill of " + n.Name
	case 2:
		before, err := w.keyOf(n.Name)
		w.check(err)
		w.check(w.within(time.Minute, func() error { _, err := w.show(n.Name, "encryption", "rotate"); return err }))
		w.check(w.within(time.Minute, func() error {
			now, err := w.keyOf(n.Name)
			if err == nil && now == before || w.node(n.Name).Annotations["kube-router.io/wireguard-also"] != "" {
				err = errors.New("the key is not changed")
			}
			return err
		}))
		return "another key of " + n.Name
	case 3:
		joined, err := w.AddNode(w.ctx, 0)
		w.check(err)
		tap, err := tapped(joined.Host)
		w.check(err)
		w.wires = append(w.wires, tap)
		w.check(w.WaitReady(w.ctx))
		w.check(w.within(time.Minute, func() error { return errors.Join(w.everyPair(0), w.everyPair(1)) }))
		return "a join of " + joined.Name
	}
	leaving := w.Nodes()[len(w.Nodes())-1]
	// Its pod is taken out of the Service first, then go the pod, the machine and the Node. No other pod comes in its place.
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	w.check(w.Client.Get(w.ctx, set))
	want := set.Status.DesiredNumberScheduled - 1
	w.check(w.Client.Merge(w.ctx, w.node(leaving.Name), "", map[string]any{"metadata": map[string]any{"labels": map[string]any{"kubernetes.io/os": nil}}}))
	w.check(w.within(time.Minute, func() error {
		if err := w.Client.Get(w.ctx, set); err != nil || set.Status.DesiredNumberScheduled == want {
			return err
		}
		return fmt.Errorf("%d pods are wanted, not %d", set.Status.DesiredNumberScheduled, want)
	}))
	pod := w.pod(leaving.Name).Name
	_, name, _ := strings.Cut(pod, "/")
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	w.check(w.Client.Merge(w.ctx, object, "", map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "leaving"}}}))
	time.Sleep(3 * time.Second)
	w.left.Store(pod, true)
	w.check(w.Client.Delete(w.ctx, object, nil))
	w.check(w.within(time.Minute, func() error {
		if w.FindPod(pod) != nil {
			return errors.New("its pod is there")
		}
		return nil
	}))
	w.check(leaving.StopDaemon())
	w.check(w.Client.Delete(w.ctx, w.node(leaving.Name), nil))
	time.Sleep(500 * time.Millisecond)
	return "a leave of " + leaving.Name
}
