//go:build policy

package policy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
)

// the is what all tests of a run share.
type the struct {
	*lab.Lab
	ctx  context.Context
	dir  string
	mu   sync.Mutex
	pass int
	fail int
}

var shared *the

func TestMain(m *testing.M) {
	os.Exit(lab.Suite(func(programs string) int { return run(m, programs) }))
}

// run starts the one cluster that all tests use, runs them, and prints how many cases passed.
func run(m *testing.M, programs string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	w, err := start(ctx, programs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = w
	code := m.Run()
	if code != 0 {
		w.Logs(os.Stderr, 20)
	}
	if err := w.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	fmt.Printf("policy: %d passed, %d failed\n", w.pass, w.fail) // the last line, which scripts read
	if w.fail > 0 {
		code = 1
	}
	return code
}

func start(ctx context.Context, programs string) (*the, error) {
	var err error
	w := &the{ctx: ctx, dir: programs}
	w.Lab, err = lab.Start(ctx, lab.Config{
		Nodes: 2, Daemon: filepath.Join(programs, "kube-router"), PodStarted: func(h *lab.Host) { w.born(h) },
		DaemonArgs: []string{"--node-routes=api", "--service-proxy-engine=" + labtest.Engine(), "--policy-names-min-ttl=1s", "--policy-names-grace=1s", "--cluster-domain=cluster.test", "--policy-names-servers=169.254.20.53"},
	})
	if err != nil {
		return nil, err
	}
	if err := w.prepare(); err != nil {
		w.Logs(os.Stderr, 30)
		return nil, fmt.Errorf("%w; %v", err, w.Close())
	}
	return w, nil
}

// one runs a case and counts it.
func (w *the) one(t *testing.T, name string, f func(t *testing.T)) {
	ok := t.Run(name, f)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.pass++
	} else {
		w.fail++
	}
}
