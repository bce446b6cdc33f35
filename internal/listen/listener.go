package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Gaps between two tries: to accept while descriptors or memory are short, and to listen at an address that another
// program has, or that no link of the node has yet.
const (
	firstGap  = 5 * time.Millisecond
	longGap   = time.Second
	listenGap = 5 * time.Second
)

// listener puts what it accepts into a pool, and goes on when accepting fails.
type listener struct {
	net.Listener
	pool   *Pool
	once   sync.Once
	closed chan struct{}
}

// In makes a listener's connections count in a pool. Its Accept ends with an error only when it is closed.
func (p *Pool) In(l net.Listener) net.Listener {
	return &listener{Listener: l, pool: p, closed: make(chan struct{})}
}

// Accept waits for a connection; while none can be had (EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED) it tries on.
func (l *listener) Accept() (net.Conn, error) {
	if l.pool.slot != nil {
		select {
		case l.pool.slot <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	for gap := firstGap; ; gap = min(2*gap, longGap) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.pool.admit(c), nil
		}
		if errors.Is(err, net.ErrClosed) || !l.pause(gap) {
			if l.pool.slot != nil {
				<-l.pool.slot
			}
			return nil, net.ErrClosed
		}
	}
}

// pause waits, and is false when the listener is closed meanwhile.
func (l *listener) pause(d time.Duration) bool {
	select {
	case <-l.closed:
		return false
	case <-time.After(d):
		return true
	}
}

// Close ends Accept. Connections stay.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// TCP listens at an address. While it can't, since another program listens there or no link has the address, it tries
// again until ctx ends; tell hears of the reason when it is another than before, and of nil when it listens after all.
func TCP(ctx context.Context, addr string, tell func(error)) (net.Listener, error) {
	for told := ""; ; {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			if told != "" {
				tell(nil)
			}
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err.Error() != told {
			told = err.Error()
			tell(err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(listenGap):
		}
	}
}

// Unix listens at a path that only root can open. A socket that an earlier life left is replaced.
func Unix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an earlier life: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("restrict the socket to root: %w", err)
	}
	return l, nil
}
