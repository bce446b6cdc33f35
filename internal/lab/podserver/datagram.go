package podserver

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// udp answers datagrams from the address that they were sent to, which for a Service address inside the pod (DSR) is not the one that
// the kernel would choose.
func (s *Server) udp(network string, port uint16) error {
	c, err := net.ListenUDP(network, &net.UDPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	s.open = append(s.open, c)
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if network == "udp4" {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	})
	if err != nil || set != nil {
		return fmt.Errorf("packet info of %s: %w", network, set)
	}
	go s.answerUDP(c, port)
	return nil
}

func (s *Server) answerUDP(c *net.UDPConn, port uint16) {
	data, control := make([]byte, 64<<10), make([]byte, 256)
	for {
		n, cn, _, from, err := c.ReadMsgUDPAddrPort(data, control)
		if err != nil {
			if _, closed := err.(*net.OpError); closed && isClosed(err) {
				return
			}
			continue
		}
		local, back := packetInfo(control[:cn])
		text := s.answer("udp", netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(local, port))
		if n > len(text) { // as large as the question, to try packet sizes
			text = append(text, make([]byte, n-len(text))...)
		}
		c.WriteMsgUDPAddrPort(text, back, from) // a lost answer is what UDP is like
	}
}

func isClosed(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Err == net.ErrClosed
}

// packetInfo reads the destination address from a datagram's control message and makes the one that sends from it. The interface is
// left to routing.
func packetInfo(control []byte) (local netip.Addr, back []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}, nil
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			info := &unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:12])} // struct in_pktinfo: ifindex, spec_dst, addr
			return netip.AddrFrom4([4]byte(m.Data[8:12])), unix.PktInfo4(info)
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			info := &unix.Inet6Pktinfo{Addr: [16]byte(m.Data[:16])}
			return netip.AddrFrom16(info.Addr), unix.PktInfo6(info)
		}
	}
	return netip.Addr{}, nil
}

// sctpListen opens a one-to-one style SCTP socket (RFC 6458, section 4), which behaves like a TCP one from there on.
func sctpListen(port uint16) (net.Listener, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "sctp")
	defer f.Close()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Port: int(port)}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(f)
}

// sctp answers each message on an association with one line.
func (s *Server) sctp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		go func() {
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				c.Write(s.answer("sctp", addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())))
			}
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			c.Close()
		}()
	}
}
