package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"syscall"
	"time"
	"unsafe"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// dial tries a peer again and again until its session stands, or for as long as eager. Whoever calls holds mu.
func (h *haste) dial(p row.BgpPeer) {
	if h.ctx.Err() != nil {
		return
	}
	if stop := h.dialing[p.Addr]; stop != nil {
		stop()
	}
	ctx, stop := context.WithTimeout(h.ctx, eager)
	h.dialing[p.Addr] = stop
	h.tasks.Go(func() {
		defer stop()
		gap := time.Duration(0)
		if p.Local.Less(p.Addr) {
			gap = deference
		}
		for next := firstGap; pause(ctx, gap); next = min(2*next, lastGap) {
			is := h.look(p.Addr)
			switch is.GetState().GetSessionState() {
			case api.PeerState_SESSION_STATE_ESTABLISHED:
				return
			case api.PeerState_SESSION_STATE_ACTIVE:
				h.try(ctx, p, is.GetConf().GetType() == api.PeerType_PEER_TYPE_EXTERNAL)
			}
			gap = next
		}
	})
}

// try connects to a peer and, if that would talk to us, hands the connection over.
func (h *haste) try(ctx context.Context, p row.BgpPeer, external bool) {
	if external {
		p.TTL = max(p.TTL, 1)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return
	}
	conn, err := connectTo(ctx, p)
	if err != nil {
		return
	}
	// A peer that isn't ready closes what it accepted; in the engine's hands that would be a session that
	// failed.
	if speaks(conn) != nil || h.look(p.Addr).GetState().GetSessionState() != api.PeerState_SESSION_STATE_ACTIVE {
		conn.Close()
		return
	}
	door, err := door(h.server)
	if err != nil {
		h.log.Warn("no haste", "error", err)
		conn.Close()
		return
	}
	select {
	case door <- conn:
	default:
		conn.Close()
	}
}

// connectTo connects to a peer as the engine would: from our address, with its password, and over no more
// routers than allowed.
func connectTo(ctx context.Context, p row.BgpPeer) (*net.TCPConn, error) {
	d := net.Dialer{
		Timeout: time.Second, KeepAlive: -1,
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Local, 0)),
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) { err = prepare(int(fd), p) }); e != nil {
				return e
			}
			return err
		},
	}
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(p.Addr, p.Port).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// prepare sets a socket up for a peer: the routers that it may pass, and TCP-MD5 (RFC 2385).
func prepare(fd int, p row.BgpPeer) error {
	level, option := unix.IPPROTO_IP, unix.IP_TTL
	// The key is for a struct sockaddr_in: port, address; or sockaddr_in6: port, flow, address.
	sig, addr := unix.TCPMD5Sig{Addr: unix.SockaddrStorage{Family: unix.AF_INET}}, 2
	if p.Addr.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
		sig.Addr.Family, addr = unix.AF_INET6, 6
	}
	if p.TTL > 0 {
		if err := unix.SetsockoptInt(fd, level, option, int(p.TTL)); err != nil {
			return err
		}
	}
	if p.Password == "" {
		return nil
	}
	copy(sig.Addr.Data[addr:], p.Addr.AsSlice())
	sig.Keylen = uint16(copy(sig.Key[:], p.Password))
	return unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
}

// signs tells why a peer's password can't protect its session in this kernel. The engine would warn of that, and go on without.
func signs(p row.BgpPeer) error {
	if p.Password == "" {
		return nil
	}
	if most := len(unix.TCPMD5Sig{}.Key); len(p.Password) > most {
		return fmt.Errorf("its password is longer than %d bytes", most)
	}
	family := unix.AF_INET
	if p.Addr.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("no socket for its password: %w", err)
	}
	defer unix.Close(fd)
	if err := prepare(fd, p); err != nil {
		return fmt.Errorf("the kernel takes no password for it (TCP MD5, RFC 2385): %w", err)
	}
	return nil
}

// speaks waits until the peer has said something, and leaves that for the engine to hear. All speakers open
// a session without waiting for us (RFC 4271 section 8.2.2); those that don't are left to the engine.
func speaks(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	n := 0
	if e := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return !errors.Is(err, unix.EAGAIN)
	}); e != nil {
		return e
	}
	if err == nil && n == 0 {
		err = errors.New("closed")
	}
	return errors.Join(err, conn.SetReadDeadline(time.Time{}))
}

// door is the channel by which the engine takes what its listeners accept. It shows it to nobody; a test
// tells when a new version of the engine has another one.
func door(s *server.BgpServer) (chan<- net.Conn, error) {
	f := reflect.ValueOf(s).Elem().FieldByName("acceptCh")
	if !f.IsValid() || f.Type() != reflect.TypeFor[chan net.Conn]() {
		return nil, fmt.Errorf("the engine has no channel of accepted connections")
	}
	return *(*chan net.Conn)(unsafe.Pointer(f.UnsafeAddr())), nil
}
