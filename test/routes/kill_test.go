//go:build routes

package routes

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// load asks all the time from pods to pods, by UDP, which nobody sends twice, until end is called.
type load struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	tallies []string
	lost    int
	total   int
}

func (w *world) load(pairs ...[2]*lab.Host) *load {
	ctx, cancel := context.WithCancel(w.ctx)
	l := &load{stop: cancel}
	for _, pair := range pairs {
		for f := range families {
			l.done.Go(func() {
				q := to(pair[1], f, port)
				q.Proto, q.Timeout = "udp", 4*time.Second
				tally, err := pair[0].Load(ctx, q, 50, 10)
				l.add(fmt.Sprintf("%s → %s %s", pair[0].NodeName(), pair[1].NodeName(), families[f]), tally, err)
			})
		}
	}
	return l
}

func (l *load) add(what string, tally *probe.Tally, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += tally.Total
	for _, n := range tally.ByClass {
		l.lost += n
	}
	if err != nil || !tally.OK() {
		l.tallies = append(l.tallies, fmt.Sprintf("%s: of %d: %s %v", what, tally.Total, tally, err))
	}
}

// end returns how many were asked; an error if one was lost.
func (l *load) end() (int, error) {
	l.stop()
	l.done.Wait()
	if l.lost > 0 || l.total == 0 || len(l.tallies) > 0 {
		return l.total, fmt.Errorf("%d of %d lost: %s", l.lost, l.total, strings.Join(l.tallies, "; "))
	}
	return l.total, nil
}

// killed ends n1's daemon in every way while pods talk.
func (w *world) killed() {
	const group = "the daemon, with graceful restart"
	n1 := w.Node("n1")
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"restarted", func() { w.check(n1.RestartDaemon()) }},
		{"killed; its speaker goes on", func() { w.check(n1.KillDaemon()); time.Sleep(time.Second); w.check(n1.StartDaemon()) }},
		{"killed with its speaker", func() {
			w.check(n1.KillDaemon())
			w.killSpeaker("n1")
			time.Sleep(time.Second)
			w.check(n1.StartDaemon())
		}},
		{"the speaker alone killed", func() { w.killSpeaker("n1") }},
	} {
		l := w.load([2]*lab.Host{w.pod("n1"), w.pod("n3")}, [2]*lab.Host{w.pod("n4"), w.pod("n1")}, [2]*lab.Host{w.pod("n2"), w.pod("n1")})
		time.Sleep(300 * time.Millisecond)
		c.do()
		took, err := w.within(30*time.Second, func() error { return w.established("n1", "n2", "n3", "n4") })
		time.Sleep(time.Second)
		total, lost := l.end()
		if err == nil {
			err = lost
		}
		w.judge(group, c.what, err, "0 of %d packets lost; all sessions after %s", total, took)
	}
}

// established is an error unless a node has sessions with these nodes, and they with it.
func (w *world) established(node string, others ...string) error {
	mine, err := w.peers(node)
	if err != nil {
		return err
	}
	for _, o := range others {
		theirs, err := w.peers(o)
		if err != nil {
			return err
		}
		if mine[o].Session != "ESTABLISHED" || theirs[node].Session != "ESTABLISHED" {
			return fmt.Errorf("%s and %s: %q, %q", node, o, mine[o].Session, theirs[node].Session)
		}
	}
	return nil
}

// killSpeaker kills a node's speaker as a crash would.
func (w *world) killSpeaker(node string) {
	w.t.Helper()
	text, err := os.ReadFile(w.Node(node).RunDir() + "/kube-router/speaker.lock")
	w.check(err)
	pid, _, _ := strings.Cut(string(text), " ")
	w.sh(w.Node(node).Host, "kill -9 %s", pid)
}
