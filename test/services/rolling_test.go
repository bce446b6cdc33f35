//go:build services

package services

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/probe"
)

const loadGroup = "no connection fails"

// program is the binary as nodes see it.
func (w *the) program() string {
	return filepath.Join(programs, "kube-router")
}

// rolling is a Deployment whose pods go on serving for three seconds when they are told to end (KEP-3960), as one
// does that must not fail.
func rolling(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "rolling"}
	pod := newPod("", "rolling", "")
	pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 3}}}
	pod.Spec.TerminationGracePeriodSeconds = new(int64(10))
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "rolling"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod.Spec},
		},
	}
}

// load is what clients meet over a time.
type load struct {
	stop    context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex
	tallies map[string]*probe.Tally
	begun   time.Time
	errs    []error
}

// under starts clients: new connections from two pods and from outside, rate a second in all, and a long-lived connection.
func (w *the) under(t *testing.T, n, rate int) *load {
	t.Helper()
	l := &load{tallies: map[string]*probe.Tally{}, begun: time.Now()}
	ctx, stop := context.WithCancel(w.ctx)
	l.stop = stop
	for name, c := range map[string]struct {
		host *lab.Host
		q    probe.Request
	}{
		"pod, IPv4": {w.Pod("client-1"), front(clusterIPs(n)[0], 80, "tcp")}, "pod, IPv6": {w.Pod("client-3"), front(clusterIPs(n)[1], 80, "tcp")},
		"outside": {w.Outside(), front(balancerIPs(n)[0], 80, "tcp")}, "node": {w.Node("n2").Host, front(clusterIPs(n)[0], 80, "tcp")},
	} {
		c.q.Timeout = 5 * time.Second
		l.all.Go(func() {
			tally, err := c.host.Load(ctx, c.q, rate/4, 4)
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.tallies[name] = tally; err != nil {
				l.errs = append(l.errs, err)
			}
		})
	}
	return l
}

// end stops the load and judges it: every connection was served.
func (l *load) end() (err error, note string) {
	l.stop()
	l.all.Wait()
	took, total, slowest := time.Since(l.begun), 0, time.Duration(0)
	for name, tally := range l.tallies {
		total += tally.Total
		slowest = max(slowest, tally.Slowest)
		if !tally.OK() && err == nil {
			err = fmt.Errorf("%s: %d connections, failed %v", name, tally.Total, tally.ByClass)
			for _, r := range tally.Failures[:min(3, len(tally.Failures))] {
				err = fmt.Errorf("%w; after %s: %s", err, r.At.Sub(l.begun).Round(time.Millisecond), r.Err)
			}
		}
	}
	if err == nil && len(l.errs) > 0 {
		err = l.errs[0]
	}
	return err, fmt.Sprintf("%d connections in %.1f s, %.0f/s, the slowest %s", total, took.Seconds(), float64(total)/took.Seconds(), slowest.Round(time.Millisecond))
}

// TestRollingUpdate replaces every pod of a Service, again and again, under load.
func TestRollingUpdate(t *testing.T) {
	w, n := shared, 70
	pods, rate, lasts := 10, 2000, 30*time.Second
	if w.guest {
		pods, rate, lasts = 4, 60, 15*time.Second
	}
	d := rolling(int32(pods))
	if err := w.Client.Create(w.ctx, d); err != nil {
		t.Fatal(err)
	}
	s := w.create(t, balanced(newService("rolling", n, "rolling"), n), balancerIPs(n)...)
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*lab.Host{w.Pod("client-1"), w.Pod("client-3"), w.Node("n2").Host} {
		w.serves(t, h, front(clusterIPs(n)[0], 80, "tcp"), pods)
		w.serves(t, h, front(clusterIPs(n)[1], 80, "tcp"), pods)
	}
	line, err := w.Pod("client-3").Open(front(clusterIPs(n)[0], 80, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	l := w.under(t, n, rate)
	rounds, replaced := 0, 0
	for end := time.Now().Add(lasts); time.Now().Before(end); rounds++ {
		replaced += w.roll(t, d, rounds, pods)
	}
	err, note := l.end()
	w.score.judge(t, loadGroup, fmt.Sprintf("rolling update of %d pods, %d wanted a second", pods, rate), err, "%s; %d times, %d pods replaced", note, rounds, replaced)
	w.delete(t, s)
	if err := w.Client.Delete(w.ctx, d, nil); err != nil {
		t.Error(err)
	}
}

// roll changes the template and waits until all pods are new ones and the old are gone.
func (w *the) roll(t *testing.T, d *appsv1.Deployment, round, pods int) int {
	t.Helper()
	old := map[string]bool{}
	for _, p := range w.Pods("default", "app=rolling") {
		old[p.Name] = true
	}
	w.merge(t, d, "", map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{"round": fmt.Sprint(round)},
	}}}})
	err := w.eventually(30*time.Second, func() error {
		left := 0
		for _, p := range kube.All[corev1.Pod](w.Watch.Pods, "default") {
			if old["default/"+p.Name] {
				left++
			}
		}
		if now := w.Pods("default", "app=rolling"); left > 0 || len(now) != pods {
			return fmt.Errorf("%d old pods are left, %d pods in all", left, len(now))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return len(old)
}

// TestMasqueradeAll restarts the daemons under load, once with --masquerade-all and once without.
func TestMasqueradeAll(t *testing.T) {
	w, n := shared, 71
	s := w.create(t, balanced(newService("masked", n, "web"), n), balancerIPs(n)...)
	for _, a := range clusterIPs(n) {
		w.serves(t, w.Pod("client-1"), front(a, 80, "tcp"), 3)
		w.serves(t, w.Pod("client-3"), front(a, 80, "tcp"), 3)
		w.serves(t, w.Node("n2").Host, front(a, 80, "tcp"), 3)
	}
	rate := 400
	if w.guest {
		rate = 100
	}
	l := w.under(t, n, rate)
	for _, flag := range []string{"--masquerade-all=true", "--masquerade-all=false"} {
		for _, node := range w.Nodes() {
			if err := node.RestartDaemon(flag); err != nil {
				t.Fatal(err)
			}
		}
		masked := strings.HasSuffix(flag, "true")
		w.both(t, frontGroup, flag, func(f int) error { return w.sees(w.Pod("client-1"), clusterIPs(n)[f], masked) })
	}
	err, note := l.end()
	w.score.judge(t, loadGroup, "daemons that restart, with other flags", err, "%s", note)
	w.delete(t, s)
}

// sees judges whether pods see the client's own address or its node's.
func (w *the) sees(client *lab.Host, vip netip.Addr, masked bool) error {
	node := w.nodeWho(client.NodeName())
	return w.eventually(10*time.Second, func() error {
		for range 20 {
			q := front(vip, 80, "tcp")
			q.Timeout = patience
			r := client.Probe(q)
			if !r.OK() {
				return fmt.Errorf("%v", r)
			}
			own, nodes := slices.Contains(client.Addrs(), r.Client.Addr()), slices.Contains(node.addrs, r.Client.Addr())
			if masked && !nodes || !masked && !own {
				return fmt.Errorf("%s saw %s", r.Pod, r.Client.Addr())
			}
		}
		return nil
	})
}
