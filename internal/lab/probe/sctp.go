package probe

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (r *Result) sctp(q Request) error {
	deadline := r.At.Add(q.Timeout)
	c, err := DialSCTP(q.From, q.To, deadline)
	if err != nil {
		return err
	}
	defer c.Close()
	if err = c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err = c.Write([]byte("who\n")); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	return r.read(strings.NewReader(string(buf[:n])))
}

// DialSCTP opens an association in the one-to-one style (RFC 6458, section 4), which behaves like a TCP connection from there on, from
// that source address and port; zero leaves them to the kernel. It never blocks in the kernel: a blocking connect with a time-out ends
// with EINTR at any signal (signal(7)), and the Go runtime sends many. After the deadline its error is ETIMEDOUT.
func DialSCTP(source, target netip.AddrPort, deadline time.Time) (net.Conn, error) {
	family, to := sockaddr(target)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "sctp")
	defer f.Close()
	if source.IsValid() {
		_, from := sockaddr(source)
		if err = unix.Bind(fd, from); err != nil {
			return nil, os.NewSyscallError("bind", err)
		}
	}
	err = unix.Connect(fd, to)
	if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) {
		err = connected(fd, deadline)
	}
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// connected waits for the end of a connect, whatever signals come meanwhile, and tells how it ended.
func connected(fd int, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n <= 0 {
			continue
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}
}

func sockaddr(ap netip.AddrPort) (int, unix.Sockaddr) {
	if ap.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
}
