//go:build routes

package routes

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// balanced is a LoadBalancer Service at a port with annotations.
func balanced(name string, port int, annotations string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {%s}}
spec: {type: LoadBalancer, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4], selector: {app: web}, ports: [{port: %d, targetPort: 8080}]}
`, name, annotations, port)
}

// given is the address in a Service's status, "" if none.
func (w *world) given(name string) string {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if w.Client.Get(w.ctx, s) != nil || len(s.Status.LoadBalancer.Ingress) == 0 {
		return ""
	}
	return s.Status.LoadBalancer.Ingress[0].IP
}

// gets judges that a Service gets an address; a want ending in a dot is a prefix.
func (w *world) gets(what, name, want string, limit time.Duration) {
	w.t.Helper()
	took, err := w.within(limit, func() error {
		if got := w.given(name); got != want && !(strings.HasSuffix(want, ".") && strings.HasPrefix(got, want)) {
			return fmt.Errorf("%s has %q, want %q", name, got, want)
		}
		return nil
	})
	w.judge("LoadBalancer addresses", what, err, "%s %s after %s", name, w.given(name), took)
}

// twice is an error if two Services that don't share have one address.
func (w *world) twice(names ...string) error {
	holder := map[string]string{}
	for _, n := range names {
		a := w.given(n)
		if other, ok := holder[a]; ok && a != "" {
			return fmt.Errorf("%s and %s both have %s", n, other, a)
		}
		holder[a] = n
	}
	return nil
}

// balances judges the allocator on a range of six usable addresses.
func (w *world) balances() {
	w.t.Helper()
	apply := func(manifest string) { w.t.Helper(); w.check(w.Apply(w.ctx, manifest)) }
	apply(balanced("a", 80, ""))
	w.gets("one is given", "a", "10.99.0.", 5*time.Second)
	apply(balanced("b", 80, `kube-router.io/service.loadbalancer-ips: "10.99.0.5"`))
	w.gets("the requested one is given", "b", "10.99.0.5", 5*time.Second)
	apply(balanced("c", 80, `kube-router.io/service.sharing-key: k`) + "---" + balanced("d", 443, `kube-router.io/service.sharing-key: k`))
	w.gets("one to share", "c", "10.99.0.", 5*time.Second)
	w.gets("shared for another port", "d", w.given("c"), 5*time.Second)
	apply(balanced("e", 80, `kube-router.io/service.loadbalancer-ips: "10.99.0.5"`))
	time.Sleep(500 * time.Millisecond)
	w.gets("what another has is not given again", "e", "", time.Second)
	w.check(w.Delete(w.ctx, balanced("b", 80, "")))
	w.gets("released, it is given to who asked for it", "e", "10.99.0.5", 5*time.Second)
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprint("f", i))
		apply(balanced(names[i], 80, ""))
	}
	_, err := w.within(5*time.Second, func() error {
		n := 0
		for _, name := range names {
			if w.given(name) != "" {
				n++
			}
		}
		if n != 3 {
			return fmt.Errorf("%d of 6 Services have an address, want 3", n)
		}
		return nil
	})
	w.judge("LoadBalancer addresses", "all of a range are given: 6 of a /29, network and broadcast left out", err, "")
	took, err := w.within(10*time.Second, func() error { return w.event("every IPv4 address of --loadbalancer-ip-range is in use") })
	w.judge("LoadBalancer addresses", "an Event tells of those that get none", err, "after %s", took)
	w.judge("LoadBalancer addresses", "none is given twice", w.twice(append(names, "a", "c", "e")...), "")
	w.leaderDies(names)
}

// event is an error unless an Event of a Service says something.
func (w *world) event(says string) error {
	list := &corev1.EventList{}
	if err := w.Client.List(w.ctx, list, "default", ""); err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "Service" && strings.Contains(e.Message, says) {
			return nil
		}
	}
	return fmt.Errorf("none of %d Events says %q", len(list.Items), says)
}

// leaderDies kills the node's daemon that gives addresses; another goes on when the lease of 15 s has run out.
func (w *world) leaderDies(names []string) {
	w.t.Helper()
	const saying = "this node gives LoadBalancer Services their addresses"
	killed, since := "", ""
	for _, n := range w.Nodes() {
		log := n.DaemonLog()
		i := strings.LastIndex(log, saying)
		if i < 0 || !n.DaemonRunning() {
			continue
		}
		if line := log[strings.LastIndex(log[:i], "\n")+1 : i]; line > since { // lines begin with their time
			killed, since = n.Name, line
		}
	}
	if killed == "" {
		w.judge("LoadBalancer addresses", "one node leads", fmt.Errorf("nobody says so"), "")
		return
	}
	before := w.given("a")
	w.check(w.Node(killed).KillDaemon())
	w.check(w.Delete(w.ctx, balanced("e", 80, "")))
	took, err := w.within(25*time.Second, func() error {
		for _, name := range names {
			if w.given(name) == "10.99.0.5" {
				return nil
			}
		}
		return fmt.Errorf("nobody got 10.99.0.5, which is free")
	})
	w.judge("LoadBalancer addresses", killed+" led and was killed: another goes on", err, "10.99.0.5 given after %s", took)
	w.judge("LoadBalancer addresses", "the new leader leaves what stands", func() error {
		if now := w.given("a"); now != before || before == "" {
			return fmt.Errorf("a had %s and has %s", before, now)
		}
		return w.twice(append(names, "a", "c")...)
	}(), "")
}
