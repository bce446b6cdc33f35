//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// speakerPID is the process of a node's speaker, as the node counts.
func (w *world) speakerPID(node string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.node(node).RunDir() + "/kube-router/speaker.lock")
	if err != nil {
		w.t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(text), " ")
	return pid
}

// killSpeaker kills a node's speaker as a crash would.
func (w *world) killSpeaker(node string) {
	w.t.Helper()
	if out, err := w.node(node).Run(w.ctx, "kill", "-9", w.speakerPID(node)); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// watched looks all the time whether something is so, and reports every moment in which it isn't.
type watched struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	bad  []string
	n    int
}

func (w *world) watch(ask func() error) *watched {
	ctx, cancel := context.WithCancel(w.ctx)
	o := &watched{stop: cancel}
	begun := time.Now()
	o.done.Go(func() {
		for ctx.Err() == nil {
			err := ask()
			o.mu.Lock()
			o.n++
			if err != nil && ctx.Err() == nil {
				o.bad = append(o.bad, fmt.Sprintf("after %v: %v", time.Since(begun).Round(time.Millisecond), err))
			}
			o.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	})
	return o
}

// end returns what was wrong, and how often it looked.
func (o *watched) end() ([]string, int) {
	o.stop()
	o.done.Wait()
	return o.bad, o.n
}

// has is an error unless the host's kernel has a route to each address.
func (w *world) has(h *lab.Host, addrs ...string) error {
	for _, a := range addrs {
		out, err := h.Run(context.Background(), "ip", "route", "get", a)
		if err != nil || strings.Contains(out, "dev lo") || strings.Contains(out, "unreachable") {
			return fmt.Errorf("no route to %s: %s", a, strings.TrimSpace(out))
		}
	}
	return nil
}

// TestKilledDaemonKeepsSessions kills the daemon alone: its speaker goes on, and the next daemon finds it.
func TestKilledDaemonKeepsSessions(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	w.apply(service("web", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	r.says(10*time.Second, "show route", "10.98.0.5/32")
	w.until("n1 has n2's pods", 5*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
	since, pid := upSince(r, "n1"), w.speakerPID("n1")
	n1 := w.node("n1")
	routes := w.watch(func() error { return w.has(r.Host, "10.98.0.5", "fd00:10:98::5", "10.244.1.1") })
	learned := w.watch(func() error { return w.has(n1.Host, "198.51.100.1", "2001:db8:51::1", "10.244.2.1") })
	if err := n1.KillDaemon(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := n1.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("the daemon is back", 5*time.Second, func() error {
		return contains(n1.DaemonLog(), "found the BGP speaker of an earlier life")
	})
	// It rules the speaker: what changes now is announced.
	w.apply(service("more", "10.98.0.2", "fd00:10:98::2", "n1", "Cluster"))
	r.says(5*time.Second, "show route", "10.98.0.2/32", "fd00:10:98::2/128")
	for _, o := range []*watched{routes, learned} {
		if bad, n := o.end(); len(bad) > 0 || n < 20 {
			t.Errorf("%d looks, wrong: %v", n, bad)
		}
	}
	if now := upSince(r, "n1"); now != since || w.speakerPID("n1") != pid {
		t.Errorf("the session that stood since %s stands since %s", since, now)
	}
}

// TestGracefulRestart kills daemon and speaker together, as a restart of their container does: with graceful
// restart neither side loses a route. Then both end in peace, and again none is lost.
func TestGracefulRestart(t *testing.T) {
	args := append(peering(first, second), "--bgp-graceful-restart", "--bgp-graceful-restart-time=30s")
	w := begin(t, lab.Config{}, args...)
	w.apply(service("web", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	r := w.bird("r1", birdPeers(first, first6, "65001", "graceful restart on;", "172.30.0.11"))
	f := w.frr("r2", frrPeers(second, "65002", "", "172.30.0.11"))
	r.says(10*time.Second, "show route", "10.98.0.5/32", "fd00:10:98::5/128")
	f.says(10*time.Second, "show bgp ipv4 unicast", "10.98.0.5/32")
	w.until("n1 has n2's pods", 5*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
	w.until("n2 has n1's pods", 5*time.Second, func() error { return contains(w.routes("n2"), "10.244.1.0/24 via 172.30.0.11") })
	n1, n2 := w.node("n1"), w.node("n2")
	looks := []*watched{
		w.watch(func() error { return w.has(r.Host, "10.98.0.5", "fd00:10:98::5", "10.244.1.1") }),
		w.watch(func() error { return w.has(f.Host, "10.98.0.5", "10.244.1.1") }),
		w.watch(func() error { return w.has(n1.Host, "198.51.100.1", "2001:db8:51::1", "10.244.2.1") }),
		w.watch(func() error { return w.has(n2.Host, "10.244.1.1", "fd00:10:244:1::1") }),
	}
	before := upSince(r, "n1")
	if err := n1.KillDaemon(); err != nil {
		t.Fatal(err)
	}
	w.killSpeaker("n1")
	time.Sleep(time.Second)
	if err := n1.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	w.until("a new session", 25*time.Second, func() error {
		if out := r.ask("show protocols n1"); upSince(r, "n1") == before || !strings.Contains(out, "Established") {
			return fmt.Errorf("no new session:\n%s", out)
		}
		return nil
	})
	w.until("a new session", 25*time.Second, func() error { return contains(w.show("n2", "peers"), "n1    ESTABLISHED") })
	time.Sleep(3 * time.Second)
	for i, o := range looks {
		if bad, n := o.end(); len(bad) > 0 || n < 50 {
			t.Errorf("watch %d: %d looks, wrong: %v", i, n, bad)
		}
	}
	// What changes after the restart is announced as before it.
	w.remove(service("web", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	r.silent(5*time.Second, "show route", "10.98.0.5/32")
}

// TestSpeakerCrash kills the speaker without graceful restart: peers drop its routes, the daemon starts
// another one, and everything comes back. The routes that it had learned stay in the kernel meanwhile.
func TestSpeakerCrash(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	r.says(10*time.Second, "show route", "10.244.1.0/24")
	n1 := w.node("n1")
	w.until("n1 has its routes", 5*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24", "198.51.100.0/24") })
	learned := w.watch(func() error { return w.has(n1.Host, "198.51.100.1", "10.244.2.1") })
	w.killSpeaker("n1")
	r.silent(2*time.Second, "show route", "10.244.1.0/24")
	r.says(15*time.Second, "show route", "10.244.1.0/24")
	w.until("the mesh is back", 15*time.Second, func() error { return contains(w.show("n1", "peers"), "n2    ESTABLISHED") })
	time.Sleep(4 * time.Second)
	if bad, n := learned.end(); len(bad) > 0 || n < 50 {
		t.Errorf("%d looks, wrong: %v", n, bad)
	}
	// A daemon that ends in peace takes its announcements along.
	if err := n1.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	r.silent(2*time.Second, "show route", "10.244.1.0/24")
}

// TestRouterRestarts kills the routers themselves: with graceful restart the nodes keep the routes that they taught.
func TestRouterRestarts(t *testing.T) {
	args := append(peering(first, second), "--bgp-graceful-restart", "--bgp-graceful-restart-time=30s")
	w := begin(t, lab.Config{Nodes: 1}, args...)
	r := w.bird("r1", birdPeers(first, first6, "65001", "graceful restart on;", "172.30.0.11"))
	f := w.frr("r2", strings.Replace(frrPeers(second, "65002", "", "172.30.0.11"), " bgp graceful-restart\n",
		" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n", 1))
	n1 := w.node("n1")
	w.until("n1 has both routers' routes", 15*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24", "2001:db8:51::/48", "192.0.2.128/25", "2001:db8:52::/48")
	})
	learned := w.watch(func() error {
		return w.has(n1.Host, "198.51.100.1", "2001:db8:51::1", "192.0.2.129", "2001:db8:52::1")
	})
	before := upSince(r, "n1")
	for _, kill := range []struct {
		r    *router
		name string
	}{{r, "bird"}, {f, "bgpd"}} {
		if out, err := kill.r.Run(w.ctx, "pkill", "-9", "-x", kill.name); err != nil {
			t.Fatal(err, out)
		}
	}
	w.until("both sessions are over", 5*time.Second, func() error { return lacks(w.show("n1", "peers"), "ESTABLISHED") })
	time.Sleep(time.Second)
	r.start("-R")
	f.startFRR("bgpd")
	w.until("a new session with BIRD", 20*time.Second, func() error {
		if out := r.ask("show protocols n1"); upSince(r, "n1") == before || !strings.Contains(out, "Established") {
			return fmt.Errorf("no new session:\n%s", out)
		}
		return nil
	})
	f.says(20*time.Second, "show bgp ipv4 unicast summary", "172.30.0.11 4 64512")
	w.until("both stand", 20*time.Second, func() error {
		if n := strings.Count(w.show("n1", "peers"), "ESTABLISHED"); n != 2 {
			return fmt.Errorf("%d sessions", n)
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	if bad, n := learned.end(); len(bad) > 0 || n < 50 {
		t.Errorf("%d looks, wrong: %v", n, bad)
	}
}
