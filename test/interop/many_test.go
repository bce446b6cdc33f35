//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestManyPaths has a node learn the pod ranges of 5,000 nodes, in both families, from one reflector. It prints how
// long that takes and what memory the daemon and its speaker need.
func TestManyPaths(t *testing.T) {
	const many = 5000
	args := append(peering(first), "--enable-ibgp=false", "--peer-router-prefix-limit=0")
	args[1] = "--peer-router-asns=64512"
	w := begin(t, lab.Config{Nodes: 1}, args...)
	idle := memory(w.node("n1").DaemonPID())
	config := func(count int) string {
		var v4, v6 strings.Builder
		for i := range count {
			fmt.Fprintf(&v4, "route 10.%d.%d.0/24 via 172.30.0.%d;\n", 128+i/256, i%256, 100+i%50)
			fmt.Fprintf(&v6, "route fd00:77:0:%x::/64 via fd00:172:30::%d;\n", i, 100+i%50)
		}
		return fmt.Sprintf(`router id %s;
protocol static { ipv4; %s }
protocol static { ipv6; %s }
protocol bgp n1 {
  local %s as 64512; neighbor 172.30.0.11 as 64512; rr client; passive on;
  ipv4 { import all; export where source = RTS_STATIC; }; ipv6 { import all; export where source = RTS_STATIC; };
}
`, first, v4.String(), v6.String(), first)
	}
	r := w.bird("r1", config(many))
	begun := time.Now()
	has := func(want int) func() error {
		return func() error {
			if n := strings.Count(w.routes("n1"), " via "); n != want {
				return fmt.Errorf("%d routes, want %d", n, want)
			}
			return nil
		}
	}
	w.until("n1's kernel has the routes", time.Minute, has(2*many))
	t.Logf("%d routes %s after the reflector began; the daemon has %d MB (%d before), its speaker %d MB", 2*many,
		time.Since(begun).Round(time.Millisecond), memory(w.node("n1").DaemonPID()), idle, memory(w.hostPID("n1")))
	r.write("/run/bird.conf", birdBase+config(many+1))
	begun = time.Now()
	r.ask("configure")
	w.until("n1's kernel has one node's more", 10*time.Second, has(2*many+2))
	t.Logf("one more after %s", time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	r.ask("disable n1")
	w.until("the reflector is gone with all routes", time.Minute, has(0))
	t.Logf("all gone after %s", time.Since(begun).Round(time.Millisecond))
}

// memory is a process's resident memory in MB.
func memory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kib / 1024
}

// hostPID is the process of a node's speaker as this machine counts: the daemon's child.
func (w *world) hostPID(node string) (pid int) {
	w.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", w.node(node).DaemonPID()))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		fmt.Sscan(string(text), &pid)
	}
	return pid
}
