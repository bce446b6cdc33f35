//go:build interop

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestNodesRestartTogether restarts the daemons of two nodes within a tenth of a second, of the same program and of another version, with the
// defaults: no connection between their pods is refused, cut or slow, and no route is missing for a moment.
func TestNodesRestartTogether(t *testing.T) {
	w := begin(t, lab.Config{})
	n1, n2 := w.node("n1"), w.node("n2")
	pods := []*lab.Host{w.begins("one", "n1"), w.begins("two", "n2")}
	for i, from := range pods {
		for _, a := range pods[1-i].Addrs() {
			if _, err := w.reached(from, a, []string{"two", "one"}[i], 20*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	looks := []*watched{
		w.watch(func() error {
			return w.leads(n1.Host, "10.244.2.1 via 172.30.0.12", "fd00:10:244:2::1 from :: via fd00:172:30::12")
		}),
		w.watch(func() error {
			return w.leads(n2.Host, "10.244.1.1 via 172.30.0.11", "fd00:10:244:1::1 from :: via fd00:172:30::11")
		}),
	}
	for i, version := range []string{"the same", "another", "another", "the same"} {
		if version == "another" {
			later := time.Now().Add(time.Duration(i) * time.Hour)
			if err := os.Chtimes(filepath.Join(programs, "kube-router"), later, later); err != nil {
				t.Fatal(err)
			}
		}
		tallies := w.between(pods, func() {
			for _, n := range []*lab.Node{n1, n2} {
				if err := n.RestartDaemon(); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			w.until(version+": the nodes peer again", 60*time.Second, func() error {
				if err := contains(w.show("n1", "peers"), "n2 ESTABLISHED"); err != nil {
					return err
				}
				return contains(w.show("n2", "peers"), "n1 ESTABLISHED")
			})
			time.Sleep(5 * time.Second) // what is stale goes, and nothing else
		})
		for what, tally := range tallies {
			if !tally.OK() || tally.Total < 50 {
				t.Errorf("restart %d, %s version: %s: %s", i, version, what, tally)
			}
		}
	}
	for i, o := range looks {
		if bad, n := o.end(); len(bad) > 0 || n < 100 {
			t.Errorf("node %d: %d looks, wrong: %v", i+1, n, bad)
		}
	}
}

// between does something while two pods ask each other all the time, in both families.
func (w *world) between(pods []*lab.Host, do func()) map[string]*probe.Tally {
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	var load sync.WaitGroup
	var mu sync.Mutex
	tallies := map[string]*probe.Tally{}
	for i, from := range pods {
		for _, a := range pods[1-i].Addrs() {
			load.Go(func() {
				tally, err := from.Load(ctx, probe.Request{To: netip.AddrPortFrom(a, 8080)}, 30, 4)
				if err != nil {
					tally = &probe.Tally{ByClass: map[probe.Class]int{probe.Failed: 1}}
				}
				mu.Lock()
				defer mu.Unlock()
				tallies[fmt.Sprintf("%s to %s", from.Name, a)] = tally
			})
		}
	}
	do()
	stop()
	load.Wait()
	return tallies
}
