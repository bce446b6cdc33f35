// Package labtest gives a test a lab that ends with it.
package labtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// lines are what a failed test prints of each node's log, from its end.
const lines = 25

// Start starts a lab with the kube-router that lies in a directory of programs, and takes it down when the test ends. The context ends then as
// well, or after the limit. A lab that doesn't start ends the test; one that can't be taken down is an error of it.
func Start(t testing.TB, limit time.Duration, programs string, c lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	c.Daemon = filepath.Join(programs, "kube-router")
	l, err := lab.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.Logs(os.Stderr, lines)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, ctx
}
