//go:build boundaries

package boundaries

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

// flushes is how often the whole ruleset goes, before a restart of the daemon and after it, and flushEvery how fast.
const (
	flushes    = 60
	flushEvery = 100 * time.Millisecond
)

// TestEngineOthersFlushTheRuleset: somebody flushes all of nftables again and again (a restart of nftables.service does) while forbidden and
// allowed connections are opened: none that is forbidden comes through, and none that is allowed is refused, by policy or by Service.
func TestEngineOthersFlushTheRuleset(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2, DaemonArgs: append([]string{"--bgp-graceful-restart"}, holderFlags...)})
	w.apply(t, labelled("vault", "vault", "n1", "")+labelled("teller", "teller", "n1", "")+labelled("teller2", "teller", "n2", "")+
		labelled("thief", "thief", "n1", "")+labelled("thief2", "thief", "n2", ""))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.apply(t, bank+dual("vault", "vault", "ClusterIP", 80, 0, `clusterIPs: [10.96.0.80, "fd00:10:96::80"]`))
	vault := w.Pod("vault")
	to := []netip.AddrPort{netip.MustParseAddrPort("10.96.0.80:80"), netip.MustParseAddrPort("[fd00:10:96::80]:80")}
	for _, a := range vault.Addrs() {
		to = append(to, netip.AddrPortFrom(a, 8080))
	}
	for _, a := range to {
		if err := w.Until(w.ctx, "the policy is in force and the Service answers", func() error {
			for name, reach := range map[string]bool{"teller": true, "teller2": true, "thief": false, "thief2": false} {
				if r := w.Pod(name).Probe(probe.Request{To: a, Timeout: time.Second}); r.OK() != reach {
					return fmt.Errorf("%s to %s: %s", name, a, r)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ended := w.askAll(t, to)
	begun := time.Now()
	for range 2 {
		for range flushes {
			for _, n := range w.Nodes() {
				mustRun(t, w, n.Host, "nft", "flush", "ruleset")
			}
			time.Sleep(flushEvery)
		}
		// The next life takes what the last one left.
		if err := w.Node("n1").RestartDaemon(); err != nil {
			t.Fatal(err)
		}
		judge(t, "the daemon has its tables", w.taken())
	}
	t.Logf("%d flushes of two nodes in %s", 2*flushes, time.Since(begun).Round(time.Millisecond))
	ended()
	for _, family := range []string{"inet", "bridge"} {
		out, err := w.Node("n1").Run(w.ctx, "nft", "delete", "table", family, "kube-router")
		complaint := ""
		if err == nil || !strings.Contains(out, "not permitted") {
			complaint = fmt.Sprintf("%v %s", err, out)
		}
		judge(t, "nobody else deletes table "+family, complaint)
	}
}

// taken waits until the tables of the first node have an owner again.
func (w *world) taken() (complaint string) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		complaint = ""
		for _, family := range []string{"inet", "bridge"} {
			if out, err := w.Node("n1").Run(w.ctx, "nft", "add", "chain", family, "kube-router", "free"); err == nil || !strings.Contains(out, "not permitted") {
				complaint += fmt.Sprintf("table %s: %v %s\n", family, err, out)
			}
		}
		if complaint == "" || time.Now().After(end) {
			return complaint
		}
	}
}

// askAll has those whom the policy allows and those whom it doesn't open connections until the function that it gives is called, which judges.
// Nobody asks both the Service and its pod: IPVS keeps a client's port, so that two connections could be one to the pod.
func (w *world) askAll(t *testing.T, to []netip.AddrPort) func() {
	ctx, stop := context.WithCancel(w.ctx)
	var all sync.WaitGroup
	var mu sync.Mutex
	tallies := map[bool]*probe.Tally{}
	for name, allowed := range map[string]bool{"teller": true, "teller2": true, "thief": false, "thief2": false} {
		tallies[allowed] = &probe.Tally{}
		for _, a := range to {
			if strings.HasSuffix(name, "2") != (a.Port() == 80) {
				continue
			}
			all.Go(func() {
				for ctx.Err() == nil {
					r := w.Pod(name).Probe(probe.Request{To: a, Timeout: 10 * time.Second})
					if r.Err != "" {
						r.Err = name + " " + r.At.Format("15:04:05.000 ") + r.Err
					}
					mu.Lock()
					tallies[allowed].Add(r)
					mu.Unlock()
					time.Sleep(15 * time.Millisecond)
				}
			})
		}
	}
	return func() {
		stop()
		all.Wait()
		passed, complaint := 0, ""
		for _, n := range tallies[false].ByPod {
			passed += n
		}
		if passed > 0 || tallies[false].Total < flushes {
			complaint = fmt.Sprintf("%d of %d forbidden connections passed", passed, tallies[false].Total)
		}
		judge(t, "no forbidden connection passes", complaint)
		if complaint = ""; !tallies[true].OK() || tallies[true].Total < flushes {
			complaint = fmt.Sprintf("%s; first %v", tallies[true], tallies[true].Failures[:min(4, len(tallies[true].Failures))])
		}
		judge(t, "every allowed connection passes", complaint)
		t.Logf("forbidden: %s; allowed: %s", tallies[false], tallies[true])
	}
}
