//go:build encryption || (guest && counted)

package encryption

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// rounds are how often each way is measured, in turn, and megabytes what each time is transferred.
const rounds, megabytes = 4, 24

// TestRatio measures the same transfer between the same pods encrypted and in clear, in turn: both nodes' keys are revoked and given back. Another machine
// has other figures; what they are in proportion to each other is told.
func TestRatio(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2}, encrypted...)
	var took, cpu [2]time.Duration
	for range rounds {
		for i, sealed := range []bool{true, false} {
			w.seal(sealed)
			before, begun := w.processors(), time.Now()
			r := w.pod("n1").Probe(probe.Request{To: netip.AddrPortFrom(w.pod("n2").Addrs()[0], port), Path: fmt.Sprintf("/bytes?n=%d", megabytes<<20), Timeout: time.Minute})
			if !r.OK() || r.Bytes != megabytes<<20 {
				t.Fatalf("encrypted %t: %d bytes, %s", sealed, r.Bytes, r)
			}
			took[i], cpu[i] = took[i]+time.Since(begun), cpu[i]+w.processors()-before
		}
	}
	rate := func(d time.Duration) float64 { return rounds * megabytes * 8 * 1.048576 / d.Seconds() }
	w.judge("the price", "a transfer between pods of two nodes", nil, "by WireGuard in %s %.0f Mbit/s and %.2f s of processors, in clear %.0f Mbit/s and %.2f s: %.2f of the throughput, %.1f times the processor",
		engine, rate(took[0]), cpu[0].Seconds(), rate(took[1]), cpu[1].Seconds(), rate(took[0])/rate(took[1]), cpu[0].Seconds()/max(cpu[1].Seconds(), 0.01))
}

// seal has the two nodes encrypt, or not for want of keys that count.
func (w *world) seal(on bool) {
	w.t.Helper()
	for _, n := range w.Nodes() {
		var revoked any
		if !on {
			revoked = w.node(n.Name).Annotations["kube-router.io/wireguard-key"]
		}
		w.check(w.Client.Merge(w.ctx, w.node(n.Name), "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kube-router.io/node.wireguard.revoked": revoked}}}))
	}
	w.check(w.within(time.Minute, func() error {
		for i, n := range w.Nodes() {
			out, err := n.Run(w.ctx, "ip", "route", "show", fmt.Sprintf("10.244.%d.0/24", 2-i))
			if err == nil && strings.Contains(out, "kube-wg") != on {
				err = errors.New(out)
			}
			if err != nil {
				return err
			}
		}
		return reaches(w.pod("n1"), w.pod("n2"), 0, "tcp", 0)
	}))
}

// processors is the time of processors that all processes here have had, those of the kernel as well where they can be seen.
func (w *world) processors() time.Duration {
	w.t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	w.check(err)
	ticks := 0
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, f := range fields[11:13] {
			n, err := strconv.Atoi(f)
			w.check(err)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
