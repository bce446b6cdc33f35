//go:build routes

package routes

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// TestFailover is a mesh with BFD at 100 ms: sessions that change live, a node that joins, nodes that lose their power with BFD and
// without.
func TestFailover(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4}, "--overlay-encap=vxlan", "--bgp-holdtime=3s",
		"--enable-bfd", "--bfd-desired-min-tx-interval=100", "--bfd-required-min-rx-interval=100")
	for f, name := range families {
		took, err := w.within(40*time.Second, func() error { return w.everyPair(f, "tcp") })
		w.judge("mesh", "every pod reaches every pod, "+name, err, "after %s", took)
	}
	w.live()
	w.joins("bgp")
	// BFD begins slowly: no more than a packet a second before both ends are up (RFC 5880 section 6.8.3).
	_, err := w.within(20*time.Second, func() error { return w.watched("n5", "n1", "n2", "n3", "n4") })
	w.check(err)
	w.judgeDeath("n5", "with BFD, 3 × 100 ms", time.Second)
	for _, n := range []string{"n1", "n2", "n3", "n4"} {
		w.check(w.Node(n).RestartDaemon("--enable-bfd=false"))
	}
	// What a node knows by its earlier life alone stays for a minute (decision 0032).
	_, err = w.within(30*time.Second, func() error { return w.taught("n4", "n1", "n2", "n3") })
	w.check(err)
	w.judgeDeath("n4", "without BFD, hold time 3 s", 3500*time.Millisecond)
}

// joins adds a node and measures until every other pod reaches its pod.
func (w *world) joins(source string) {
	w.t.Helper()
	group := "a node joins, routes from " + source
	begun := time.Now()
	n, err := w.AddNode(w.ctx, 0)
	w.check(err)
	ready := time.Now()
	others := w.Nodes()[:len(w.Nodes())-1]
	_, err = w.within(2*time.Second, func() error { return w.knows(others, n.Number(), true) })
	w.judge(group, "the others have routes to its pods", err, "%s after its daemon was ready, %s after it was switched on",
		round(time.Since(ready)), round(time.Since(begun)))
	w.check(w.WaitReady(w.ctx))
	running := time.Now()
	pod := w.pod(n.Name)
	for f, name := range families {
		_, err = w.within(2*time.Second, func() error {
			for _, from := range others {
				if failure := reaches(w.pod(from.Name), pod, f, "tcp"); failure != nil {
					return failure
				}
			}
			return nil
		})
		w.judge(group, "every pod reaches its pod, "+name, err, "%s after it ran", round(time.Since(running)))
	}
}

// knows is an error unless nodes have (or have not) routes to the ranges of the node of that number, both families.
func (w *world) knows(nodes []*lab.Node, number int, want bool) error {
	for _, n := range nodes {
		if n.Number() == number {
			continue
		}
		out, err := n.Run(w.ctx, "sh", "-c", fmt.Sprintf("ip route show 10.244.%d.0/24; ip -6 route show fd00:10:244:%x::/64", number, number))
		lines := 0
		for _, c := range out {
			if c == '\n' {
				lines++
			}
		}
		if err != nil || want && lines < 2 || !want && lines > 0 {
			return fmt.Errorf("%s: %v: %s", n.Name, err, out)
		}
	}
	return nil
}

// watched is an error unless nodes see by BFD that another one lives.
func (w *world) watched(node string, others ...string) error {
	for _, o := range others {
		all, err := w.peers(o)
		if err != nil || all[node].BFD != "UP" {
			return fmt.Errorf("%s sees %s by BFD as %q, %v", o, node, all[node].BFD, err)
		}
	}
	return nil
}

// taught is an error unless a node's routes, of both families, have come to others in a session.
func (w *world) taught(node string, others ...string) error {
	for _, o := range others {
		all, err := w.peers(o)
		if err != nil || all[node].Session != "ESTABLISHED" || all[node].Accepted < 2 {
			return fmt.Errorf("%s has %d prefixes of %s, %q, %v", o, all[node].Accepted, node, all[node].Session, err)
		}
	}
	return nil
}

// judgeDeath takes a node's power and measures until no other node has a route to it.
func (w *world) judgeDeath(name, how string, limit time.Duration) {
	w.t.Helper()
	dead := w.Node(name)
	var others []*lab.Node
	for _, n := range w.Nodes() {
		if n.DaemonRunning() && n.Name != name {
			others = append(others, n)
		}
	}
	w.check(w.knows(others, dead.Number(), true))
	begun := time.Now()
	w.check(dead.PowerOff())
	took, err := w.within(limit+10*time.Second, func() error { return w.knows(others, dead.Number(), false) })
	took = max(took, round(time.Since(begun)))
	if err == nil && took > limit {
		err = fmt.Errorf("its routes were gone after %s, want %s", took, limit)
	}
	w.judge("a node dies", how, err, "its routes are gone from %d nodes after %s", len(others), took)
}

// live changes annotations; what they concern follows within a second, and no other session is reset.
func (w *world) live() {
	const group = "annotations take effect live"
	before, err := w.peers("n4")
	w.check(err)
	for _, c := range []struct {
		what        string
		annotations map[string]string
		gone        [2]string
	}{
		{"n1 reflects, n2 and n3 are its clients: n2 and n3 part", map[string]string{"n1": "rr.server", "n2": "rr.client", "n3": "rr.client"}, [2]string{"n2", "n3"}},
	} {
		begun := time.Now()
		for node, name := range c.annotations {
			w.annotate(node, name, "7")
		}
		_, failure := w.within(time.Second, func() error {
			all, bad := w.peers(c.gone[0])
			if bad == nil && all[c.gone[1]].Node != "" {
				bad = fmt.Errorf("%s has still a session with %s", c.gone[0], c.gone[1])
			}
			return bad
		})
		w.judge(group, c.what, failure, "after %s", round(time.Since(begun)))
		for f, name := range families {
			_, failure := w.within(30*time.Second, func() error { return w.somePair(f) })
			w.judge(group, "clients reach each other through the reflector's routes, "+name, failure, "after %s", round(time.Since(begun)))
		}
		for node, name := range c.annotations {
			w.annotate(node, name, "")
		}
		took, err := w.within(30*time.Second, func() error { return w.established("n2", "n1", "n3", "n4") })
		w.judge(group, "without the annotations the mesh is back", err, "after %s", took)
	}
	now, err := w.peers("n4")
	if err == nil && (!now["n1"].Since.Equal(before["n1"].Since) || now["n1"].Since.IsZero()) {
		err = fmt.Errorf("n4's session with n1 stands since %s, it stood since %s", now["n1"].Since, before["n1"].Since)
	}
	w.judge(group, "n4's session with n1, which nothing of it concerned, was not reset", err, "")
}

// somePair is an error unless n2's and n3's pods reach each other.
func (w *world) somePair(family int) error {
	if err := reaches(w.pod("n2"), w.pod("n3"), family, "tcp"); err != nil {
		return err
	}
	return reaches(w.pod("n3"), w.pod("n2"), family, "tcp")
}

// TestAPIRoutes is a cluster of two subnets without a mesh: its routes come from Node objects. Egress and the LoadBalancer addresses
// are judged on the same nodes.
func TestAPIRoutes(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4, Subnets: 2}, "--overlay-encap=vxlan", "--node-routes=api",
		"--pod-egress-exclude=172.31.0.200/32,fd00:172:31::c8/128", "--run-loadbalancer", "--loadbalancer-ip-range=10.99.0.0/29")
	w.overlay("vxlan", "subnet", 200)
	w.joins("api")
	w.egress()
	begun := time.Now()
	w.check(w.Client.Delete(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n5"}}, nil))
	t.Log("deleted after", time.Since(begun))
	for i := range 4 {
		_, err := w.within(2*time.Second, func() error { return w.knows(w.Nodes()[i:i+1], 5, false) })
		t.Log(i+1, err, time.Since(begun))
	}
	took, err := w.within(2*time.Second, func() error { return w.knows(w.Nodes()[:4], 5, false) })
	w.judge("a node leaves, routes from api", "its routes are gone with its Node object", err, "after %s", took)
	w.balances()
}
