package gobgp

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/lab/netns"
)

// TestMain lets the test binary be a speaker too, as cmd/kube-router is.
func TestMain(m *testing.M) {
	dir := os.Getenv("TEST_SPEAKER")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	e := Engine{
		Dir: dir, Token: os.Getenv("TEST_TOKEN"), Orphan: time.Minute,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if o := os.Getenv("TEST_ORPHAN"); o != "" {
		e.Orphan, _ = time.ParseDuration(o)
	}
	if err := e.Run(ctx); err != nil {
		slog.Error("speaker", "error", err)
		os.Exit(1)
	}
}

// logger writes to the test's log.
func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// command is the command line of a speaker that the test binary is.
func command(dir, token string, more ...string) []string {
	return append(append([]string{"env", "TEST_SPEAKER=" + dir, "TEST_TOKEN=" + token}, more...), os.Args[0])
}

// supervised runs a speaker until the test ends.
func supervised(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	s := &Supervisor{Dir: dir, Path: "/usr/bin/env", Args: command(dir, "v1"), Token: "v1", Log: logger(t)}
	runs(t, s)
	return dir
}

// runs runs a supervisor in a network namespace of its own, where nobody else listens.
func runs(t testing.TB, s *Supervisor) (stop func()) {
	t.Helper()
	space, err := netns.New()
	if err == nil {
		err = space.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	return runsIn(t, space, s)
}

func runsIn(t testing.TB, space *netns.Space, s *Supervisor) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- space.Do(func() error { return s.Run(ctx) }) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error("supervisor: ", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func driver(t testing.TB, dir string) *Driver {
	t.Helper()
	d, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
