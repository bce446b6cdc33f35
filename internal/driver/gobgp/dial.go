package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// dialer is the calling of one peer.
type dialer struct{ stop context.CancelFunc }

// dial calls a peer again and again until its session stands. Whoever calls this holds mu.
func (h *haste) dial(p row.BgpPeer) {
	if h.ctx.Err() != nil {
		return
	}
	h.hush(p.Addr)
	ctx, stop := context.WithCancel(h.ctx)
	d := &dialer{stop}
	h.dialing[p.Addr] = d
	h.tasks.Go(func() {
		h.call(ctx, p)
		stop()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.dialing[p.Addr] == d {
			delete(h.dialing, p.Addr)
		}
	})
}

// hush ends the calling of a peer. Whoever calls this holds mu.
func (h *haste) hush(a netip.Addr) {
	if d := h.dialing[a]; d != nil {
		d.stop()
		delete(h.dialing, a)
	}
}

func (h *haste) call(ctx context.Context, p row.BgpPeer) {
	gap := time.Duration(0)
	if p.Local.Less(p.Addr) {
		gap = deference
	}
	begun := time.Now()
	for next := firstGap; pause(ctx, gap); next = min(2*next, lastGap) {
		is := h.look(p.Addr)
		switch is.GetState().GetSessionState() {
		case api.PeerState_SESSION_STATE_ESTABLISHED:
			return
		case api.PeerState_SESSION_STATE_ACTIVE:
			h.try(ctx, p, is.GetConf().GetType() == api.PeerType_PEER_TYPE_EXTERNAL)
		}
		if gap = next; time.Since(begun) > eager {
			gap = redial * time.Second
		}
	}
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
	if err == nil {
		// A peer that isn't ready closes what it accepted; in the engine's hands that would be a session that
		// failed.
		if err = speaks(conn); err != nil {
			conn.Close()
		}
	}
	if ctx.Err() == nil {
		h.gate.met(p.Addr, err)
	}
	if err != nil {
		return
	}
	if h.look(p.Addr).GetState().GetSessionState() != api.PeerState_SESSION_STATE_ACTIVE {
		conn.Close()
		return
	}
	h.gate.hand(h.gate.guard(conn))
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

// prepare sets a socket up for a peer: the routers that packets may pass on either way, and TCP-MD5 (RFC 2385).
func prepare(fd int, p row.BgpPeer) error {
	level, ttl, least := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MINTTL
	if p.Addr.Is6() {
		level, ttl, least = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_MINHOPCOUNT
	}
	if p.Node != "" || p.MinTTL > 0 {
		p.TTL = fullTTL
	}
	if p.TTL > 0 {
		if err := unix.SetsockoptInt(fd, level, ttl, int(p.TTL)); err != nil {
			return err
		}
	}
	if p.MinTTL > 0 && p.Node == "" {
		if err := unix.SetsockoptInt(fd, level, least, int(p.MinTTL)); err != nil {
			return err
		}
	}
	if p.Password == "" {
		return nil
	}
	return sign(fd, p.Addr, string(p.Password))
}

// sign sets the password of what is exchanged with an address (TCP MD5, RFC 2385); empty: there is none any more.
func sign(fd int, a netip.Addr, password string) error {
	// The key is for a struct sockaddr_in: port, address; or sockaddr_in6: port, flow, address.
	sig, at := unix.TCPMD5Sig{Addr: unix.SockaddrStorage{Family: unix.AF_INET}}, 2
	if a.Is6() {
		sig.Addr.Family, at = unix.AF_INET6, 6
	}
	copy(sig.Addr.Data[at:], a.AsSlice())
	sig.Keylen = uint16(copy(sig.Key[:], password))
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
// a session without waiting for us (RFC 4271 section 8.2.2); one that doesn't for a second gets to hear us first.
func speaks(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if err = conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	n := 0
	if e := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return !errors.Is(err, unix.EAGAIN)
	}); errors.Is(e, os.ErrDeadlineExceeded) {
		n, err = 1, nil
	} else if e != nil {
		return e
	}
	if err == nil && n == 0 {
		err = errClosed
	}
	return errors.Join(err, conn.SetReadDeadline(time.Time{}))
}
