package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fake is a connection from an address that can be waited for to be closed.
type fake struct {
	net.Conn
	from   net.Addr
	closed atomic.Bool
}

func (f *fake) RemoteAddr() net.Addr { return f.from }
func (f *fake) Close() error         { f.closed.Store(true); return nil }

func from(addr string) *fake {
	return &fake{from: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
}

func TestAFullPoolClosesTheOldestOfWhoHasMost(t *testing.T) {
	p := NewPool(4)
	kubelet := from("10.0.0.1:1")
	greedy := []*fake{from("10.0.0.9:1"), from("[::ffff:10.0.0.9]:2"), from("10.0.0.9:3"), from("10.0.0.9:4"), from("10.0.0.9:5")}
	p.admit(kubelet)
	for _, c := range greedy {
		p.admit(c)
	}
	for i, c := range greedy {
		if want := i < 2; c.closed.Load() != want {
			t.Errorf("connection %d of the greedy one: closed %v, want %v", i, c.closed.Load(), want)
		}
	}
	if kubelet.closed.Load() || p.Open() != 4 {
		t.Errorf("kubelet's is closed: %v; %d are open, want 4", kubelet.closed.Load(), p.Open())
	}
	// One host has a whole /64, so its addresses count together.
	six := NewPool(3)
	probe, other := from("[fd00:1::1]:1"), from("[fd00:2::1]:1")
	six.admit(probe)
	six.admit(other)
	for i := range 10 {
		six.admit(from(fmt.Sprintf("[fd00:2::%x]:7", i+2)))
	}
	if probe.closed.Load() || !other.closed.Load() || six.Open() != 3 {
		t.Errorf("the probe's is closed: %v, the other's: %v; %d are open", probe.closed.Load(), other.closed.Load(), six.Open())
	}
}

// short is a listener that has no descriptors for a while.
type short struct {
	fails []error
	conn  net.Conn
}

func (s *short) Accept() (net.Conn, error) {
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	return s.conn, nil
}
func (s *short) Close() error   { return nil }
func (s *short) Addr() net.Addr { return nil }

func TestAShortageOfDescriptorsPasses(t *testing.T) {
	for _, p := range []*Pool{NewPool(2), NewQueue(2)} {
		l := p.In(&short{[]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ECONNABORTED}, from("10.0.0.1:1")})
		c, err := l.Accept()
		if err != nil || p.Open() != 1 {
			t.Fatalf("%v; %d are open", err, p.Open())
		}
		c.Close()
		c.Close()
		if p.Open() != 0 {
			t.Error("a closed connection still counts")
		}
		l.Close()
		ended := p.In(&short{[]error{net.ErrClosed}, nil})
		if _, err := ended.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed listener: %v", err)
		}
	}
}

func TestAQueueLetsWait(t *testing.T) {
	bare, err := Unix(filepath.Join(t.TempDir(), "sub", "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := NewQueue(1).In(bare)
	got := make(chan net.Conn, 2)
	ended := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			got <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("unix", bare.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-got
	select {
	case <-got:
		t.Fatal("two at once in a queue of one")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	<-got
	l.Close() // while it waits for room
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestATakenPortIsWaitedFor(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 9)
	ended := make(chan error)
	go func() {
		_, err := TCP(ctx, taken.Addr().String(), func(err error) { told <- err })
		ended <- err
	}()
	if err := <-told; !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhoSaysNothingIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	p := NewPool(9)
	go func() {
		ended <- HTTP(ctx, l, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, err)
		}), 300*time.Millisecond)
	}()
	for name, text := range map[string]string{
		"half a body":       "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1",
		"an endless header": "GET / HTTP/1.1\r\nHost: a\r\nX: " + string(make([]byte, 2*headerBytes)),
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the connection is kept", name)
		} else if n, ok := err.(net.Error); ok && n.Timeout() {
			t.Errorf("%s: the connection is kept", name)
		}
		c.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
