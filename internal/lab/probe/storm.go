package probe

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/podserver"
)

// stormInFlight bounds the connections that wait for their answer at one time: a machine that can't carry the rate gets less, and isn't
// buried.
const stormInFlight = 64

// Storm opens rate new connections a second to a port that greets (podserver) until the context ends, and keeps to that rate on the
// average, as far as the machine can. One thread does all of it with as few system calls as can be, so that thousands a second are possible where they are dear.
func Storm(ctx context.Context, in Enter, to netip.AddrPort, rate int, limit time.Duration) (*Tally, error) {
	s := &storm{to: to, limit: limit, tally: &Tally{}, open: map[int]time.Time{}, buf: make([]byte, 256)}
	return s.tally, in(func() (err error) {
		if s.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			return os.NewSyscallError("epoll_create1", err)
		}
		defer unix.Close(s.poll)
		return s.run(ctx, rate)
	})
}

type storm struct {
	to    netip.AddrPort
	limit time.Duration
	tally *Tally
	poll  int
	open  map[int]time.Time // by descriptor: since when
	buf   []byte
}

func (s *storm) run(ctx context.Context, rate int) error {
	begun, started := time.Now(), 0
	events := make([]unix.EpollEvent, 64)
	for swept := begun; ; {
		over := ctx.Err() != nil
		if over && len(s.open) == 0 {
			return nil
		}
		for due := int(time.Since(begun).Seconds() * float64(rate)); !over && started < due && len(s.open) < stormInFlight; started++ {
			s.start()
		}
		n, err := unix.EpollWait(s.poll, events, 2)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, e := range events[:max(n, 0)] {
			s.read(int(e.Fd))
		}
		if time.Since(swept) > 100*time.Millisecond {
			swept = time.Now()
			s.sweep(swept)
		}
	}
}

// start begins a connection. Its greeting makes it readable, and so does its failure.
func (s *storm) start() {
	at := time.Now()
	family, to := sockaddr(s.to)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		s.open[fd] = at
		if err = unix.Connect(fd, to); err == unix.EINPROGRESS {
			err = unix.EpollCtl(s.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		}
	}
	if err != nil {
		s.end(fd, at, "", err)
	}
}

// read takes the greeting, which comes in one piece.
func (s *storm) read(fd int) {
	at, ok := s.open[fd]
	if !ok {
		return
	}
	n, err := unix.Read(fd, s.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		s.end(fd, at, "", err)
	default:
		name, whole := bytes.CutSuffix(s.buf[:n], []byte("\n"))
		if !whole {
			s.end(fd, at, "", errGarbled)
			return
		}
		s.end(fd, at, string(name), nil)
	}
}

func (s *storm) end(fd int, at time.Time, pod string, err error) {
	r := Result{Answer: podserver.Answer{Pod: pod}, At: at, Took: time.Since(at)}
	if err != nil {
		r.Class, r.Err = classify(err), err.Error()
	}
	s.tally.Add(r)
	if fd >= 0 {
		delete(s.open, fd)
		unix.Close(fd)
	}
}

// sweep ends what has waited too long.
func (s *storm) sweep(now time.Time) {
	for fd, at := range s.open {
		if now.Sub(at) > s.limit {
			s.end(fd, at, "", unix.ETIMEDOUT)
		}
	}
}
