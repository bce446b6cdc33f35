//go:build scale

package scale

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var page = flag.String("page", "", "write what was measured to this file, a page of the documents")

// measured is what this run has printed.
type measured struct{ claims, figures []string }

var run measured

// claim prints one figure beside its goal, both with their unit; more than the goal falls short of it.
func claim(name string, figure, goal float64, unit string) {
	verdict := "holds"
	if figure > goal {
		verdict = "falls short"
	}
	fmt.Printf("claim %s: %.3g %s (%.3g %s) %s\n", name, figure, unit, goal, unit, verdict)
	run.claims = append(run.claims, fmt.Sprintf("| `%s` | %s | %.3g %s | %.3g %s | %s |", name, meanings[name], figure, unit, goal, unit, verdict))
}

// meanings are what claims say.
var meanings = map[string]string{
	"memory.idle":   "resident memory of the daemon at rest, the least in a quarter of a minute, in a cluster of one node and nothing else",
	"memory.1000":   "the same with 1,000 Services of 10 endpoints and 5,000 pods",
	"memory.10000":  "the same with 10,000 Services of 10 endpoints and 50,000 pods",
	"start.synced":  "from the last object read to the last row in the kernel, 10,000 Services",
	"start.process": "from the start of the process to the same",
	"change.p99":    "one endpoint, from the API's answer to the kernel's commit, among 10,000 Services, 99th percentile",
	"change.ratio":  "the median of that among 10,000 Services by that among 100",
}

// tell prints figures that nobody promised.
func tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println(text)
	run.figures = append(run.figures, "- "+text)
}

// write writes the page.
func (m measured) write(t *testing.T, path string) {
	t.Helper()
	text := `# Performance

What ` + "`make bench`" + ` measured last, with the program as it is delivered in a network namespace, beside an API server that speaks JSON
(kube-apiserver's protobuf is cheaper to read). Made by the run; a figure above its goal falls short. What others did on the machine meanwhile
shows in times, above all in the last hundredth of them, and not in memory or in processor time.

` + machine() + `

| claim | what | figure | goal | |
|---|---|---|---|---|
` + strings.Join(m.claims, "\n") + `

## In full

` + strings.Join(m.figures, "\n") + `

## How memory is kept

- The API's objects become values of our own one by one as they arrive, and equal labels and names of nodes are held once.
- Nothing is held as a map where one value is the rule: endpoints, the pods at an address, the slices of a Service.
- Garbage is collected when it is a third of what is in use; a limit of the container is heeded. When the node is ready, what the start needed is given back:
  the heap's free pages, and the program's own pages that only the start read. Those that work reads come back meanwhile, some 30 MB, which the kernel can drop
  at any time; every ten minutes they are given back ([operating](operating.md#what-memory-it-takes)).
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// machine is what the run ran on.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if f := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); f != nil {
			model = string(f[1])
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	busy, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("Ran on: %d cores (%s), Linux %s, %s; load average at the end %s.", runtime.NumCPU(), model, unix.ByteSliceToString(u.Release[:]), runtime.Version(), busy)
}
