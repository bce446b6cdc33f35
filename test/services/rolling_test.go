//go:build services

package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/kubelet"
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
	pod.Spec.Containers[0].Ports = append(pod.Spec.Containers[0].Ports, corev1.ContainerPort{Name: kubelet.GreetPort, ContainerPort: greetPort})
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

// client makes a load until the context ends.
type client func(ctx context.Context, from *lab.Host, to netip.Addr) (*probe.Tally, error)

// asking asks over HTTP, rate times a second.
func asking(rate int) client {
	return func(ctx context.Context, from *lab.Host, to netip.Addr) (*probe.Tally, error) {
		q := front(to, 80, "tcp")
		q.Timeout = patience
		return from.Load(ctx, q, rate, 4)
	}
}

const greetPort = 7000

// storming opens rate connections a second to be greeted, as cheaply as can be. A first packet may be lost, and comes again after one
// second, then two; the third try is in time.
func storming(rate int) client {
	return func(ctx context.Context, from *lab.Host, to netip.Addr) (*probe.Tally, error) {
		return from.Storm(ctx, netip.AddrPortFrom(to, greetPort), rate, 2*patience)
	}
}

// under starts clients: two pods, a node and one outside.
func (w *the) under(n int, c client) *load {
	l := &load{tallies: map[string]*probe.Tally{}, begun: time.Now()}
	ctx, stop := context.WithCancel(w.ctx)
	l.stop = stop
	for name, at := range map[string]struct {
		from *lab.Host
		to   netip.Addr
	}{
		"pod, IPv4": {w.Pod("client-1"), clusterIPs(n)[0]}, "pod, IPv6": {w.Pod("client-3"), clusterIPs(n)[1]},
		"outside": {w.Outside(), balancerIPs(n)[0]}, "node": {w.Node("n2").Host, clusterIPs(n)[0]},
	} {
		l.all.Go(func() {
			tally, err := c(ctx, at.from, at.to)
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
func (l *load) end() (note string, err error) {
	l.stop()
	l.all.Wait()
	took, total, late, slowest := time.Since(l.begun), 0, 0, time.Duration(0)
	for name, tally := range l.tallies {
		total += tally.Total
		late += tally.Late
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
	return fmt.Sprintf("%d connections in %.1f s, %.0f/s, %d of them took a second or more, the slowest %s", total, took.Seconds(), float64(total)/took.Seconds(), late, slowest.Round(time.Millisecond)), err
}

// TestRollingUpdate replaces every pod of a Service, again and again, under a load that a machine with time to spare carries at more than 2,000
// connections a second, begin and end counted in.
func TestRollingUpdate(t *testing.T) {
	w, n := shared, 70
	pods, rate, lasts := 10, 2200, 30*time.Second
	if w.guest {
		pods = 4
	}
	d := rolling(int32(pods))
	if err := w.Client.Create(w.ctx, d); err != nil {
		t.Fatal(err)
	}
	s := balanced(newService("rolling", n, "rolling"), n)
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "g", Port: greetPort, TargetPort: intstr.FromInt32(greetPort), NodePort: int32(nodePort(n)) + 500})
	w.create(t, s, balancerIPs(n)...)
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
	l := w.under(n, storming(rate/4))
	rounds, replaced := 0, 0
	for end := time.Now().Add(lasts); time.Now().Before(end); rounds++ {
		replaced += w.roll(t, d, rounds, pods)
	}
	note, err := l.end()
	err = w.trace(t, err)
	w.score.Judge(t, loadGroup, fmt.Sprintf("rolling update of %d pods, %d wanted a second", pods, rate), err, "%s; %d times, %d pods replaced", note, rounds, replaced)
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
	err := w.eventually(90*time.Second, func() error {
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

var fromPort = regexp.MustCompile(`from port (\d+)`)

// trace adds where the nodes sent the connections that failed with silence.
func (w *the) trace(t *testing.T, err error) error {
	t.Helper()
	if err == nil {
		return nil
	}
	for _, found := range fromPort.FindAllStringSubmatch(err.Error(), -1) {
		for _, n := range w.Nodes() {
			dumped := n.Do(func() error {
				for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
					flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
					if err != nil {
						return err
					}
					for _, f := range flows {
						if fmt.Sprint(f.Forward.SrcPort) == found[1] {
							t.Logf("%s: %v", n.Name, f)
						}
					}
				}
				return nil
			})
			err = errors.Join(err, dumped)
		}
	}
	return err
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
	l := w.under(n, asking(rate/4))
	for _, flag := range []string{"--masquerade-all=true", "--masquerade-all=false"} {
		for _, node := range w.Nodes() {
			if err := node.RestartDaemon(flag); err != nil {
				t.Fatal(err)
			}
		}
		masked := strings.HasSuffix(flag, "true")
		w.both(t, frontGroup, flag, func(f int) error { return w.sees(w.Pod("client-1"), clusterIPs(n)[f], masked) })
	}
	note, err := l.end()
	w.score.Judge(t, loadGroup, "daemons that restart, with other flags", err, "%s", note)
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
