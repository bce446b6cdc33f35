package gobgp

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

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

// spoken is a daemon's end of a stream.
type spoken struct {
	grpc.ServerStream
	ctx  context.Context
	said int
}

func (s *spoken) Context() context.Context { return s.ctx }

func (s *spoken) SendMsg(any) error { s.said++; return nil }

// TestStopIsSilent tells a daemon nothing of what a speaker withdraws when it is told to stop: not on a watch that there is, nor in the
// answer to a question. When BGP is begun anew it speaks again.
func TestStopIsSilent(t *testing.T) {
	ctx := peer.NewContext(t.Context(), &peer.Peer{LocalAddr: &net.UnixAddr{Name: filepath.Join(t.TempDir(), socketName), Net: "unix"}})
	e := &Engine{Log: logger(t)}
	call := func(method string) {
		t.Helper()
		_, err := e.unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	for method, during := range map[string]bool{
		api.GoBgpService_WatchEvent_FullMethodName: true, api.GoBgpService_ListPath_FullMethodName: true, api.GoBgpService_ListPeer_FullMethodName: false,
	} {
		for _, stops := range []bool{false, true} {
			call(api.GoBgpService_StartBgp_FullMethodName)
			if stops && !during {
				call(api.GoBgpService_StopBgp_FullMethodName)
			}
			s := &spoken{ctx: ctx}
			err := e.stream(nil, s, &grpc.StreamServerInfo{FullMethod: method}, func(_ any, s grpc.ServerStream) error {
				if err := s.SendMsg(nil); err != nil || !stops || !during {
					return err
				}
				call(api.GoBgpService_StopBgp_FullMethodName)
				if method == api.GoBgpService_ListPath_FullMethodName {
					return nil // it found nothing more
				}
				return s.SendMsg(nil)
			})
			if silent := status.Code(err) == codes.Unavailable; silent != stops || (s.said == 1) != (during || !stops) {
				t.Errorf("%s, stopped %t: %v, said %d times", method, stops, err, s.said)
			}
		}
	}
}
