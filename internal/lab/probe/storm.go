package probe

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/podserver"
)

const (
	// stormInFlight bounds the connections that wait for their answer at one time: a machine that can't carry the rate gets less, and
	// isn't buried.
	stormInFlight = 64
	// stormTurn is how often connections are begun and ended, many with one look at the clock and one poll.
	stormTurn = 25 * time.Millisecond
)

// Storm opens rate new connections a second to a port that greets (podserver) until the context ends, and keeps to that rate on the
// average, as far as the machine can. One thread does all of it with as few system calls as can be, so that thousands a second are
// possible where they are dear. How long a connection took is known to 10 ms.
func Storm(ctx context.Context, in Enter, to netip.AddrPort, rate int, limit time.Duration) (*Tally, error) {
	s := &storm{limit: limit, tally: &Tally{}, buf: make([]byte, 256)}
	s.family, s.to = sockaddr(to)
	return s.tally, in(func() error { s.run(ctx, rate); return nil })
}

type storm struct {
	family int
	to     unix.Sockaddr
	limit  time.Duration
	tally  *Tally
	open   []unix.PollFd
	since  []time.Time // of each that is open
	buf    []byte
}

func (s *storm) run(ctx context.Context, rate int) {
	begun, started := time.Now(), 0
	for now := begun; ; now = time.Now() {
		over := ctx.Err() != nil
		if over && len(s.open) == 0 {
			return
		}
		for due := int(now.Sub(begun).Seconds() * float64(rate)); !over && started < due && len(s.open) < stormInFlight; started++ {
			s.start(now)
		}
		time.Sleep(stormTurn)
		s.look(now.Add(stormTurn))
	}
}

// start begins a connection.
func (s *storm) start(now time.Time) {
	fd, err := unix.Socket(s.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		if err = unix.Connect(fd, s.to); err == unix.EINPROGRESS {
			s.open, s.since = append(s.open, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}), append(s.since, now)
			return
		}
		unix.Close(fd)
	}
	s.count(now, now, "", err)
}

// look ends the connections that were greeted, failed, or have waited too long. A greeting makes a connection readable, and so does its
// failure.
func (s *storm) look(now time.Time) {
	unix.Poll(s.open, 0) // an interrupted one shows nothing, and the next is soon
	left := 0
	for i, p := range s.open {
		if p.Revents == 0 && now.Sub(s.since[i]) <= s.limit {
			s.open[left], s.since[left] = p, s.since[i]
			left++
			continue
		}
		var name string
		var err error
		if p.Revents != 0 {
			name, err = s.read(int(p.Fd))
		} else {
			err = silence(int(p.Fd))
		}
		s.count(s.since[i], now, name, err)
		unix.Close(int(p.Fd))
	}
	s.open, s.since = s.open[:left], s.since[:left]
}

// silence is the error of a connection that got nothing within the limit. It names the local port, by which the nodes' flows can be searched.
func silence(fd int) error {
	port := 0
	switch a, _ := unix.Getsockname(fd); a := a.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		port = a.Port
	}
	state := "no answer to the first packet"
	if _, err := unix.Getpeername(fd); err == nil {
		state = "established, and no greeting"
	}
	return fmt.Errorf("from port %d: %s: %w", port, state, unix.ETIMEDOUT)
}

// read takes the greeting, which comes in one piece.
func (s *storm) read(fd int) (name string, err error) {
	n, err := unix.Read(fd, s.buf)
	if err != nil {
		return "", err
	}
	line, whole := bytes.CutSuffix(s.buf[:n], []byte("\n"))
	if !whole {
		return "", errGarbled
	}
	return string(line), nil
}

func (s *storm) count(since, now time.Time, pod string, err error) {
	r := Result{Answer: podserver.Answer{Pod: pod}, At: since, Took: now.Sub(since)}
	if err != nil {
		r.Class, r.Err = classify(err), err.Error()
	}
	s.tally.Add(r)
}
