//go:build services

package services

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestSwitchEngine changes the engine of running nodes, there and back, under load: connections that stand live on, new ones never fail.
// It needs a kernel with both.
func TestSwitchEngine(t *testing.T) {
	w, n, rate := shared, 80, 100
	if w.engine != "ipvs" {
		return // judged in the run of the other engine
	}
	s := w.create(t, balanced(newService("switch", n, "web"), n), balancerIPs(n)...)
	fronts := map[*lab.Host]netip.Addr{w.Pod("client-1"): clusterIPs(n)[0], w.Pod("client-3"): clusterIPs(n)[1], w.Outside(): balancerIPs(n)[0], w.Node("n2").Host: clusterIPs(n)[0]}
	for h, a := range fronts {
		w.serves(t, h, front(a, 80, "tcp"), 3)
	}
	for _, to := range []string{"nftables", "ipvs"} {
		lines, broken := w.lines(t, fronts)
		l := w.under(n, asking(rate/4))
		for _, node := range w.Nodes() {
			if err := node.RestartDaemon("--service-proxy-engine=" + to); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		var ran error
		for _, node := range w.Nodes() {
			ran = w.eventually(10*time.Second, func() error { return w.runs(node, to) })
		}
		time.Sleep(2 * time.Second)
		note, err := l.end()
		if err == nil {
			err = ran
		}
		w.score.Judge(t, loadGroup, "new connections while nodes change to "+to, err, "%s", note)
		err = broken()
		w.score.Judge(t, loadGroup, "connections that stand while nodes change to "+to, err, "%d of them", len(lines))
	}
	w.delete(t, s)
}

// runs tells whether a node is ready with an engine.
func (w *the) runs(node *lab.Node, engine string) error {
	out, err := node.Run(w.ctx, w.program(), "show")
	if err != nil || !strings.Contains(out, "service engine  "+engine) {
		return fmt.Errorf("%s doesn't run %s: %v: %s", node.Name, engine, err, out)
	}
	return nil
}

// lines opens a long-lived connection from each host and has it echo; the function ends them and tells the first that broke.
func (w *the) lines(t *testing.T, fronts map[*lab.Host]netip.Addr) ([]*probe.Line, func() error) {
	t.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	var all sync.WaitGroup
	var mu sync.Mutex
	var list []*probe.Line
	var broken error
	for h, a := range fronts {
		q := front(a, 80, "tcp")
		q.Timeout = 3 * time.Second
		line, err := h.Open(q)
		if err != nil {
			t.Error(err)
			continue
		}
		list = append(list, line)
		all.Go(func() {
			if err := line.Keep(ctx, 50*time.Millisecond); err != nil {
				mu.Lock()
				broken = fmt.Errorf("from %s: %w", h.Name, err)
				mu.Unlock()
			}
		})
	}
	return list, func() error {
		stop()
		all.Wait()
		for _, line := range list {
			line.Close()
		}
		return broken
	}
}

const dsrGroup = "direct server return"

// TestDSR asks from outside by n1 for endpoints of n1 and n2: the answer comes from the front's address, straight from the pod's node.
func TestDSR(t *testing.T) {
	w, n := shared, 81
	if w.engine != "ipvs" {
		return // nftables has none; the service says so by a remark
	}
	s := balanced(newService("dsr", n, "web"), n)
	s.Annotations["kube-router.io/service.dsr"] = "tunnel"
	for i := range s.Spec.Ports {
		s.Spec.Ports[i].Port = 8080
	}
	w.create(t, s, balancerIPs(n)...)
	for kind, vips := range map[string][]netip.Addr{"balancer": balancerIPs(n), "external IP": externalIPs(n)} {
		w.both(t, dsrGroup, kind+" from outside", func(f int) error {
			return w.only(w.Outside(), front(vips[f], 8080, "tcp"), names(w.web())...)
		})
		w.both(t, dsrGroup, kind+": pods see the client", func(f int) error {
			for range 12 {
				if r := w.Outside().Probe(front(vips[f], 8080, "tcp")); !r.OK() || r.Client.Addr() != w.Outside().Addrs()[f] || r.Local.Addr() != vips[f] {
					return fmt.Errorf("%v at %s", r, r.Local)
				}
			}
			return nil
		})
		w.both(t, dsrGroup, kind+": 100 kB", func(f int) error {
			q := front(vips[f], 8080, "tcp")
			q.Path, q.Timeout = "/bytes?n=100000", 5*time.Second
			for range 6 {
				if r := w.Outside().Probe(q); !r.OK() || r.Bytes != 100_000 {
					return fmt.Errorf("%d bytes: %v", r.Bytes, r)
				}
			}
			return nil
		})
		w.both(t, dsrGroup, kind+": replies don't pass the node that took the question", func(f int) error { return w.straight(vips[f]) })
	}
	w.delete(t, s)
}

// straight counts packets from a front's address that leave n1, which takes the questions, while only the pod on n2 is asked.
func (w *the) straight(vip netip.Addr) error {
	word := map[bool]string{true: "ip", false: "ip6"}[vip.Is4()]
	counter := "table inet straight {\n counter passed { }\n chain c {\n type filter hook postrouting priority 300\n oifname eth0 " +
		word + " saddr " + vip.String() + " counter name passed\n }\n }"
	for _, node := range []string{"n1", "n2"} {
		if out, err := w.Node(node).Run(w.ctx, "nft", counter); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		defer w.Node(node).Run(w.ctx, "nft", "delete table inet straight")
	}
	far := 0
	for range 30 {
		if r := w.Outside().Probe(front(vip, 8080, "tcp")); r.OK() && r.Node == "n2" {
			far++
		}
	}
	n1, err := w.Node("n1").Run(w.ctx, "nft", "list counter inet straight passed")
	if err != nil {
		return err
	}
	n2, err := w.Node("n2").Run(w.ctx, "nft", "list counter inet straight passed")
	if err != nil {
		return err
	}
	if far == 0 || strings.Contains(n2, "packets 0") {
		return fmt.Errorf("%d answers by n2; it sent none itself: %s", far, n2)
	}
	return w.mine(n1, far)
}

// mine judges n1's counter: it passes on what its own pods send, at most nine packets for each of the other answers, and no more.
func (w *the) mine(counter string, far int) error {
	var packets int
	if i := strings.Index(counter, "packets "); i >= 0 {
		fmt.Sscanf(counter[i:], "packets %d", &packets)
	}
	if near := 30 - far; packets > 9*near {
		return fmt.Errorf("n1 passed on %d packets for %d answers of its own pods: %d answers came from n2", packets, near, far)
	}
	return nil
}
