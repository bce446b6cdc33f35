package lab_test

import (
	"context"
	"os"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestDemo is the demo with the real daemon on three nodes: every probe passes.
func TestDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	binary, err := lab.Binary(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(ctx, lab.Config{Daemon: binary})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	apply(t, ctx, l, lab.Demo)
	passed, failed, err := l.Check(ctx, 20*time.Second, func(f lab.Finding) {
		if f.Err != nil {
			t.Errorf("%s %s, %s → %s: %v", f.Family, f.What, f.From, f.To, f.Err)
		}
	})
	if err != nil || failed > 0 || passed != 28 {
		t.Errorf("%d passed, %d failed, %v; want all 28 to pass", passed, failed, err)
		l.Logs(os.Stderr, 30)
	}
}
