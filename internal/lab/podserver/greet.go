package podserver

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// greetTurn is how long those who come are gathered before they are greeted together.
const greetTurn = 25 * time.Millisecond

// greet serves a TCP port that asks nothing: whoever connects gets the pod's name on a line, and the connection is closed. It costs three
// system calls, so that thousands of new connections a second can be tried where they are dear.
func (s *Server) greet(port uint16) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "greeting")
	s.open = append(s.open, f)
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0),
		unix.Bind(fd, &unix.SockaddrInet6{Port: int(port)}), unix.Listen(fd, 1024))
	if err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err == nil {
		go s.greetAll(raw)
	}
	return err
}

func (s *Server) greetAll(raw syscall.RawConn) {
	line := []byte(s.config.Pod + "\n")
	raw.Read(func(fd uintptr) bool {
		time.Sleep(greetTurn)
		for {
			c, _, err := unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			switch err {
			case nil:
				unix.SendmsgN(c, line, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_MORE) // the end follows in the same packet
				unix.Close(c)
			case unix.EINTR, unix.ECONNABORTED:
			default:
				return err != unix.EAGAIN
			}
		}
	})
}
