//go:build services

package services

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab/probe"
	"kube-router/internal/model"
)

// TestSchedulers serves a Service with every scheduler that IPVS has, by its name, in both engines.
func TestSchedulers(t *testing.T) {
	w, n := shared, 25
	s := w.create(t, scheduled("any", n, "rr"))
	for _, scheduler := range model.Schedulers() {
		w.merge(t, s, "", annotate("service.scheduler", scheduler))
		w.both(t, spreadGroup, "any scheduler: "+scheduler, func(f int) error {
			q := front(clusterIPs(n)[f], 80, "tcp")
			q.Timeout = patience
			return w.eventually(10*time.Second, func() error {
				if err := w.virtual(q, scheduler); err != nil {
					return err
				}
				tally, err := w.Pod("client-1").Many(q, 10, 1)
				if err == nil && !tally.OK() {
					err = fmt.Errorf("%v", tally)
				}
				return err
			})
		})
	}
	w.delete(t, s)
}

// virtual judges that the kernel's virtual server has the scheduler, where IPVS is the engine.
func (w *the) virtual(q probe.Request, scheduler string) error {
	if w.engine != "ipvs" {
		return nil
	}
	have, err := w.Node("n1").Run(w.ctx, "ipvsadm", "-Sn")
	if want := fmt.Sprintf("-A -t %s -s %s", q.To, scheduler); err == nil && !strings.Contains(have, want) {
		err = fmt.Errorf("ipvsadm doesn't show %s", want)
	}
	return err
}

// TestWeights gives one pod of ten a weight while the Service is used, counts whom each scheduler that goes by weights
// sends connections to, and takes the weight away again.
func TestWeights(t *testing.T) {
	w, n := shared, 26
	s := w.create(t, scheduled("weighed", n, "wrr"))
	heavy := newPod("ten-3", "", "")
	asked := 190
	for _, c := range []struct {
		scheduler string
		least     int // of 190 for the pod with ten of nineteen parts
	}{{"wrr", 99}, {"wrr+udp", 99}, {"sed", 60}, {"fo", asked}} {
		proto := "tcp"
		if c.scheduler == "wrr+udp" {
			proto = "udp"
		} else {
			w.merge(t, s, "", annotate("service.scheduler", c.scheduler))
		}
		w.merge(t, heavy, "", annotate("pod.weight", "10"))
		w.both(t, spreadGroup, "a weight of ten under "+c.scheduler, func(f int) error {
			q := front(clusterIPs(n)[f], 80, proto)
			q.Timeout = patience
			return w.eventually(15*time.Second, func() error {
				tally, err := w.Pod("client-1").Many(q, asked, 1)
				if got := tally.ByPod["default/ten-3"]; err == nil && (!tally.OK() || got < c.least) {
					err = fmt.Errorf("%d of %d went to ten-3, want %d at least: %v", got, asked, c.least, tally)
				}
				return err
			})
		})
	}
	w.merge(t, s, "", annotate("service.scheduler", "wrr"))
	w.merge(t, heavy, "", annotate("pod.weight", nil))
	w.both(t, spreadGroup, "the weight is gone", func(f int) error {
		q := front(clusterIPs(n)[f], 80, "tcp")
		q.Timeout = patience
		return w.eventually(15*time.Second, func() error {
			tally, err := w.Pod("client-1").Many(q, 50, 1)
			if got := tally.ByPod["default/ten-3"]; err == nil && (!tally.OK() || got != 5) {
				err = fmt.Errorf("%d of 50 went to ten-3, want 5: %v", got, tally)
			}
			return err
		})
	})
	w.delete(t, s)
}

// annotate sets one annotation of ours; nil takes it away.
func annotate(key string, value any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kube-router.io/" + key: value}}}
}
