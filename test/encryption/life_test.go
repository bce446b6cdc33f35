//go:build encryption || guest

package encryption

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// load is what clients ask all the time: pods of pods of other nodes, of a Service, and a stranger of a node's port.
type load struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	tallies map[string]*probe.Tally
	err     error
}

// lines is how many connections of a stranger to a node port stay open: some to pods of every node.
const lines = 6

// begins starts a load of new connections, each of five seconds at most, and of some that stay open.
func (w *world) begins(rate int) *load { return w.beginsWith(rate, 5*time.Second) }

// beginsWith has connections fail after some patience.
func (w *world) beginsWith(rate int, patience time.Duration) *load {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	l := &load{stop: cancel, tallies: map[string]*probe.Tally{}}
	ask := func(name string, from *lab.Host, to netip.AddrPort) {
		l.done.Go(func() {
			t, err := from.Load(ctx, probe.Request{To: to, Timeout: patience}, rate, 4)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.tallies[name], l.err = t, errors.Join(l.err, err)
		})
	}
	nodes := w.Nodes()
	for f, family := range families {
		for i, n := range nodes[:2] {
			to := w.pod(nodes[(i+1)%len(nodes)].Name)
			ask(fmt.Sprintf("%s, pod of %s to pod of %s", family, n.Name, to.NodeName()), w.pod(n.Name), netip.AddrPortFrom(to.Addrs()[f], port))
		}
		front := netip.AddrPortFrom(nodes[0].Addrs()[f], nodePort)
		ask(family+", a stranger to a node port", w.Outside(), front)
		// Of another node: IPVS takes an answer that a pod here had asked an endpoint for itself for its own, where the ports are the same.
		ask(family+", a pod to a node port", w.pod(nodes[1].Name), front)
		for range lines {
			line, err := w.Outside().Open(probe.Request{To: front, Timeout: 15 * time.Second})
			w.check(err)
			l.done.Go(func() {
				defer line.Close()
				if err := line.Keep(ctx, 200*time.Millisecond); err != nil {
					if _, left := w.left.Load(line.Answer.Pod); left {
						return
					}
					l.mu.Lock()
					defer l.mu.Unlock()
					l.err = errors.Join(l.err, fmt.Errorf("%s, a stranger's long connection to a node port, pod %s: %w", family, line.Answer.Pod, err))
				}
			})
		}
	}
	return l
}

// ends stops it, and is an error if anything failed.
func (l *load) ends() (total int, err error) {
	l.stop()
	l.done.Wait()
	err = l.err
	for name, t := range l.tallies {
		if t == nil {
			continue
		}
		total += t.Total
		if !t.OK() {
			err = errors.Join(err, fmt.Errorf("%s: %s", name, t))
			for _, f := range t.Failures[:min(3, len(t.Failures))] {
				err = errors.Join(err, fmt.Errorf("  %s: %s", f.At.UTC().Format("15:04:05.000"), f))
			}
		}
	}
	return total, err
}

// TestLife turns encryption on in a running cluster, node by node, makes it strict, changes keys, kills what can be killed, lets a node
// join and leave, and turns it off again, while clients ask.
func TestLife(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3, Subnets: 2}, "--overlay-encap="+tunnels)
	w.tap()
	w.control()
	w.turnOn()
	if t.Failed() {
		return
	}
	w.makeStrict()
	w.rotate()
	w.kill()
	w.join()
	w.turnOff()
}

// control shows that what watches the wire sees packets in clear.
func (w *world) control() {
	for f, name := range families {
		w.check(w.within(20*time.Second, func() error { return w.everyPair(f) }))
		err := w.inClear()
		if err == nil {
			err = errors.New("without encryption nothing was seen in clear: the watch is blind")
		} else {
			err = nil
		}
		w.judge("the watch on the wire", "sees packets of pods without encryption, "+name, err, "")
	}
}

func (w *world) turnOn() {
	l := w.begins(10)
	for _, n := range w.Nodes() {
		w.check(n.RestartDaemon(encrypted...))
		time.Sleep(time.Second)
	}
	err := w.within(30*time.Second, func() error { return w.steered(w.Nodes()...) })
	w.judge("turned on, node by node", "every route leads into WireGuard", err, "")
	total, err := l.ends()
	w.judge("turned on, node by node", "no connection failed", err, "of %d", total)
	_ = w.inClear()
	for f, name := range families {
		w.judge("turned on, node by node", "every pod reaches every pod, "+name, w.within(time.Minute, func() error { return w.everyPair(f) }), "")
	}
	w.judge("turned on, node by node", "nothing is in clear any more", w.inClear(), "")
	out, err := w.show("n1", "show", "encryption")
	if err == nil && (!strings.Contains(out, "encrypted to 2 of 2 nodes by WireGuard in "+engine) || strings.Count(out, "encrypted  ") != 2) {
		err = fmt.Errorf("it says\n%s", out)
	}
	w.judge("turned on, node by node", "show encryption tells it", err, "")
	out, err = w.show("n1", "why", "default/"+w.pod("n1").Name[strings.LastIndex(w.pod("n1").Name, "/")+1:], "default/"+w.pod("n2").Name[strings.LastIndex(w.pod("n2").Name, "/")+1:], "8080/tcp")
	if err == nil && !strings.Contains(out, "wire: encrypted to node n2") {
		err = fmt.Errorf("it says\n%s", out)
	}
	w.judge("turned on, node by node", "why names the tunnel", err, "")
}

func (w *world) makeStrict() {
	l := w.begins(10)
	for _, n := range w.Nodes() {
		w.check(n.RestartDaemon(strict...))
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second)
	total, err := l.ends()
	w.judge("made strict, node by node", "no connection failed", err, "of %d", total)
	w.judge("made strict, node by node", "nothing is in clear", w.inClear(), "")
}

// keyOf is the key that a node is known by.
func (w *world) keyOf(node string) (string, error) {
	out, err := w.show(node, "show", "encryption")
	_, key, ok := strings.Cut(out, "own key ")
	if err != nil || !ok || len(key) < 8 {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return key[:8], nil
}

func (w *world) rotate() {
	l := w.begins(10)
	for _, n := range w.Nodes()[:2] {
		before, err := w.keyOf(n.Name)
		w.check(err)
		_, err = w.show(n.Name, "encryption", "rotate")
		w.check(err)
		err = w.within(20*time.Second, func() error {
			now, err := w.keyOf(n.Name)
			if err == nil && now == before {
				err = fmt.Errorf("%s is still known by %s", n.Name, before)
			}
			return err
		})
		w.judge("keys change", n.Name+" has another key", err, "")
	}
	w.ages(w.Nodes()[2])
	time.Sleep(6 * time.Second) // until the old ones are forgotten
	total, err := l.ends()
	w.judge("keys change", "no connection failed", err, "of %d", total)
	for f, name := range families {
		w.judge("keys change", "every pod reaches every pod, "+name, w.within(time.Minute, func() error { return w.everyPair(f) }), "")
	}
	w.judge("keys change", "nothing is in clear", w.inClear(), "")
	text, err := w.Nodes()[0].Run(w.ctx, "cat", "/run/kube-router/wireguard.key")
	w.check(err)
	secret := strings.TrimSpace(strings.SplitN(text, "\n", 2)[0])
	var found []string
	for _, n := range w.Nodes() {
		if strings.Contains(n.DaemonLog(), secret) {
			found = append(found, "log of "+n.Name)
		}
		for _, view := range [][]string{{"show", "rows", "rtnl"}, {"show", "encryption", "-o", "json"}, {"show", "settings", "all"}} {
			if out, _ := w.show(n.Name, view...); strings.Contains(out, secret) {
				found = append(found, strings.Join(view, " "))
			}
		}
		if out, _ := n.Run(w.ctx, "sh", "-c", "cat /proc/[0-9]*/cmdline"); strings.Contains(out, secret) {
			found = append(found, "a command line")
		}
	}
	if len(found) > 0 || len(secret) != 44 {
		err = fmt.Errorf("a private key of %d letters shows in %v", len(secret), found)
	}
	w.judge("keys change", "the private key shows nowhere", err, "in logs, rows, settings and command lines")
}

// ages lets a key be older than it may become.
func (w *world) ages(n *lab.Node) {
	before, err := w.keyOf(n.Name)
	w.check(err)
	out, err := n.Run(w.ctx, "touch", "-d", "2 hours ago", "/run/kube-router/wireguard.key")
	w.check(err)
	w.check(n.RestartDaemon(append(strict[:len(strict):len(strict)], "--wireguard-rotate-every=1h")...))
	err = w.within(time.Minute, func() error {
		now, err := w.keyOf(n.Name)
		if err == nil && now == before {
			err = fmt.Errorf("%s is still known by %s %s", n.Name, before, out)
		}
		return err
	})
	w.judge("keys change", n.Name+" has another key, since it was too old", err, "")
}

func (w *world) kill() {
	n := w.Nodes()[1]
	l := w.begins(10)
	for range 3 {
		w.check(n.KillDaemon())
		time.Sleep(500 * time.Millisecond)
		w.check(n.StartDaemon(strict...))
		time.Sleep(time.Second)
	}
	total, err := l.ends()
	w.judge("the daemon is killed three times", "no connection failed", err, "of %d", total)
	w.judge("the daemon is killed three times", "nothing is in clear", w.inClear(), "")
	if place == "this kernel" {
		out, err := n.Run(w.ctx, "sh", "-c", "kill -9 $(cut -d' ' -f1 /run/kube-router/wireguard.lock)")
		if err != nil {
			w.t.Fatal(err, out)
		}
		for f, name := range families {
			w.judge("the process of WireGuard is killed", "every pod reaches every pod again, "+name, w.within(10*time.Second, func() error { return w.everyPair(f) }), "")
		}
		w.judge("the process of WireGuard is killed", "nothing is in clear", w.inClear(), "")
	}
}

func (w *world) join() {
	n, err := w.AddNode(w.ctx, 0)
	w.check(err)
	w.check(n.RestartDaemon(strict...))
	w.check(w.WaitReady(w.ctx))
	w.wires = append(w.wires, nil)
	tap, err := tapped(n.Host)
	w.check(err)
	w.wires[len(w.wires)-1] = tap
	for f, name := range families {
		w.judge("a node joins", "every pod reaches every pod, "+name, w.within(15*time.Second, func() error { return w.everyPair(f) }), "")
	}
	// It began without encryption: what it sent in clear until then nobody took.
	w.judge("a node joins", "nothing of the others is in clear", w.others(n.Name), "")
}

// others is what other nodes than one sent in clear.
func (w *world) others(name string) error {
	var all []error
	for _, tap := range w.wires {
		if err := tap.seen(); tap.name != name {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (w *world) turnOff() {
	for _, n := range w.Nodes() {
		w.check(n.RestartDaemon(encrypted...))
	}
	w.check(w.within(20*time.Second, func() error { return w.steered(w.Nodes()...) }))
	l := w.begins(10)
	for _, n := range w.Nodes() {
		w.check(n.RestartDaemon())
		time.Sleep(2 * time.Second)
	}
	time.Sleep(2 * time.Second)
	total, err := l.ends()
	w.judge("turned off, node by node", "no connection failed", err, "of %d", total)
	err = w.within(30*time.Second, func() error {
		for _, n := range w.Nodes() {
			if out, _ := n.Run(w.ctx, "sh", "-c", "ip link show kube-wg 2>/dev/null; ip route | grep kube-wg; ls /run/kube-router/wireguard.sock 2>/dev/null"); out != "" {
				return fmt.Errorf("%s: %s", n.Name, out)
			}
		}
		return nil
	})
	w.judge("turned off, node by node", "link, routes and process are gone", err, "")
	out, err := w.Nodes()[0].Command(w.ctx, filepath.Join(programs, "kube-router"), "show", "failing").CombinedOutput()
	if err == nil && strings.Contains(string(out), "kube-wg") {
		err = fmt.Errorf("rows fail:\n%s", out)
	}
	w.judge("turned off, node by node", "no row fails", err, "")
}
