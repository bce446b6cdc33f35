package gobgp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"kube-router/internal/listen"
)

// Admin opens the speaker's gRPC to people and their tools on TCP, as the reference does. It hands bytes on
// to the socket on which passwords don't show and nothing can be changed, for anybody on the host may connect; the
// speaker itself never listens there, so a port that is taken harms nothing.
type Admin struct {
	Dir   string   // of the speaker
	Addrs []string // host:port
	Log   *slog.Logger
}

// adminMost is how many connections one address has at once.
const adminMost = 32

// Run listens until ctx ends. An address that can't be had is tried again and again.
func (a *Admin) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, addr := range a.Addrs {
		wg.Go(func() {
			for told := ""; ; {
				err := a.listen(ctx, addr)
				if ctx.Err() != nil {
					return
				}
				if err != nil && err.Error() != told {
					told = err.Error()
					a.Log.Warn("no gRPC for the gobgp command here", "address", addr, "error", err)
				}
				if !pause(ctx, longestGap) {
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func (a *Admin) listen(ctx context.Context, addr string) error {
	bare, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	l := listen.NewPool(adminMost).In(bare)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		wg.Go(func() { a.serve(ctx, conn) })
	}
}

// serve hands on what two ends say until one of them, or the daemon, is tired of it.
func (a *Admin) serve(ctx context.Context, from net.Conn) {
	defer from.Close()
	to, err := net.DialTimeout("unix", filepath.Join(a.Dir, readName), time.Second)
	if err != nil {
		return
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() { from.Close(); to.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pour(to, from) })
	wg.Go(func() { pour(from, to) })
	wg.Wait()
}

// pour copies one way, and ends the other as well.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil && !errors.Is(err, net.ErrClosed) {
		from.Close()
	}
	to.Close()
}
