package peer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kube-router/internal/row"
)

// BenchmarkReflectorClient lets a node learn the ranges of 5,000 nodes from one reflector, then one that
// changes among them, and tells the memory of its speaker.
func BenchmarkReflectorClient(b *testing.B) {
	const nodes = 5000
	for b.Loop() {
		all := hosts(b, 2)
		_, in := all[0].watch()
		rows := append(speaker(2), with(2, 1))
		for i := range nodes {
			rows = append(rows, path(fmt.Sprintf("10.%d.%d.0/24", 100+i/256, i%256), fmt.Sprintf("172.16.%d.%d", i/250, 1+i%250)))
		}
		all[1].want(rows...)
		all[0].want(append(speaker(1), with(1, 2))...)
		until(b, "the session stands", 30*time.Second, func() bool { return in.len() > 0 })
		began := time.Now()
		until(b, "all paths are there", 60*time.Second, func() bool { return in.len() == nodes })
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/5000paths")
		rows[len(rows)-1] = row.BgpPath{Prefix: pfx("203.0.113.0/24"), NextHop: addr("172.16.0.1")}
		began = time.Now()
		all[1].want(rows...)
		until(b, "the change is there", 10*time.Second, func() bool { return strings.Contains(in.is(), "203.0.113.0/24") })
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/change")
		b.ReportMetric(float64(all[0].memory())/1024, "MB/speaker")
	}
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.paths)
}

// memory is the resident size of the speaker in KiB.
func (h *host) memory() (kib int) {
	h.t.Helper()
	var pid int
	text, err := os.ReadFile(h.dir + "/speaker.lock")
	must(h.t, err)
	fmt.Sscan(string(text), &pid)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(h.t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fmt.Sscan(rest, &kib)
	return kib
}
