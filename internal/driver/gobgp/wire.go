package gobgp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// rules are what holds for a peer's sessions beyond what the engine knows.
type rules struct {
	node     bool       // it is another node, which runs this program
	near     bool       // it is in a subnet of this node: what it sends passed no router (RFC 5082)
	limit    int        // prefixes that it may teach; 0: any number
	as       uint32     // ours
	id       netip.Addr // our router id
	clusters []netip.Addr
}

// wire is a connection of a peer as the engine sees it: what the peer says is judged before the engine hears it, where
// the engine would judge wrongly (docs/decisions/0070).
type wire struct {
	*net.TCPConn
	rules
	held func()      // the kernel holds the peer to its TTL from now on
	over func(n int) // n announcements were beyond the limit; 0: what was before counts no more
	mute func()      // the peer said nothing for the hold time, and is told so

	ended   func(how string) // the connection ended by a NOTIFICATION, the peer or the network
	noticed atomic.Bool      // a NOTIFICATION said so already
	itsAS   atomic.Uint32    // as the peer's OPEN says

	in, out []byte // a message that isn't complete, and what the engine is still to read
	raw     bool   // no BGP: the engine shall see it as it is
	known   map[netip.Prefix]struct{}
	refused bool // since we last asked for everything

	writing  sync.Mutex
	four     atomic.Bool // AS numbers of this session have four octets (RFC 6793)
	refresh  atomic.Bool // the peer takes ROUTE-REFRESH (RFC 2918)
	closed   atomic.Bool
	addPaths atomic.Bool // prefixes may have identifiers (RFC 7911), which only somebody else's neighbours have
}

// The capabilities (RFC 5492) that a wire looks at or takes out. The last one is ours, of those for experiments (RFC
// 8810): a node says by it that its packets of the session have a TTL of 255.
const (
	capRefresh  = 2
	capNextHop  = 5 // IPv4 prefixes with IPv6 next hops (RFC 8950)
	capFour     = 65
	capAddPath  = 69
	capFullTTL  = 250
	fullTTL     = 255
	fullTTLWord = "kube-router ttl 255"
)

// holdTimerExpired is the error code of a NOTIFICATION to a peer of which nothing was heard (RFC 4271 section 6.5).
const holdTimerExpired = 4

// Read gives the engine the next bytes of what it is to hear.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.raw {
			return w.TCPConn.Read(p)
		}
		if err := w.fill(); err != nil {
			w.heardEnd(err)
			return 0, err
		}
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// Close ends the connection.
func (w *wire) Close() error {
	w.closed.Store(true)
	return w.TCPConn.Close()
}

// fill reads on until a message is complete.
func (w *wire) fill() error {
	if err := w.upTo(headLen); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(w.in[16:]))
	if size < headLen || slices.ContainsFunc(w.in[:16], func(b byte) bool { return b != 0xff }) {
		w.raw, w.out, w.in = true, w.in, nil
		return nil
	}
	if err := w.upTo(size); err != nil {
		return err
	}
	w.out, w.in = w.judge(w.in), nil
	return nil
}

// upTo reads until n bytes of the message are there. What an error or a deadline leaves is read on next time.
func (w *wire) upTo(n int) error {
	for len(w.in) < n {
		w.in = slices.Grow(w.in, n-len(w.in))
		m, err := w.TCPConn.Read(w.in[len(w.in):n])
		w.in = w.in[:len(w.in)+m]
		if err != nil && len(w.in) < n {
			return err
		}
	}
	return nil
}

// judge is what the engine shall hear for a message.
func (w *wire) judge(m []byte) []byte {
	switch m[18] {
	case typeOpen:
		w.hear(m)
	case typeNotification:
		w.hearNotice(m, true)
	case typeUpdate:
		if w.addPaths.Load() {
			return m
		}
		u, ok := splitUpdate(m[headLen:])
		switch {
		case !ok: // which ends the session
		case u.overrun || w.excluded(&u):
			w.forget(&u, true)
			return u.withdrawal()
		case w.limit > 0:
			w.forget(&u, false)
			return w.admit(&u, m)
		}
	}
	return m
}

// excluded tells whether the paths of an UPDATE must not be used: loops (RFC 4271 section 9.1.2, RFC 4456 section 8)
// and paths through AS 0 (RFC 7607).
func (w *wire) excluded(u *update) bool {
	size := 2
	if w.four.Load() {
		size = 4
	}
	for code, size := range map[byte]int{attrPath: size, attrPath4: 4} {
		if a := u.find(code); a != nil && (a.has(size, 0) || a.has(size, w.as)) {
			return true
		}
	}
	if !w.node {
		return false
	}
	if a := u.find(attrOriginator); a != nil && len(a.value) == 4 && netip.AddrFrom4([4]byte(a.value)) == w.id {
		return true
	}
	if a := u.find(attrClusters); a != nil {
		for v := a.value; len(v) >= 4; v = v[4:] {
			if slices.Contains(w.clusters, netip.AddrFrom4([4]byte(v[:4]))) {
				return true
			}
		}
	}
	return false
}

// hear notes what the peer's OPEN offers. A node that says so sends nothing with a lesser TTL than 255, so what has one
// comes from behind a router and is somebody else's: the kernel shall drop it (RFC 5082).
func (w *wire) hear(m []byte) {
	four, adds := false, false
	if len(m) >= headLen+3 {
		w.itsAS.Store(uint32(binary.BigEndian.Uint16(m[headLen+1:])))
	}
	capabilities(m, func(code byte, value []byte) {
		switch code {
		case capFour:
			if four = true; len(value) == 4 {
				w.itsAS.Store(binary.BigEndian.Uint32(value))
			}
		case capRefresh:
			w.refresh.Store(true)
		case capAddPath:
			adds = true
		case capFullTTL:
			if w.node && w.near && string(value) == fullTTLWord && atLeast(w.TCPConn, fullTTL) == nil {
				w.held()
			}
		}
	})
	w.four.Store(four)
	w.addPaths.Store(adds && w.addPaths.Load())
}

// atLeast has the kernel drop what comes with a lesser TTL.
func atLeast(c *net.TCPConn, ttl int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	level, option := unix.IPPROTO_IP, unix.IP_MINTTL
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && a.IP.To4() == nil {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT
	}
	e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, ttl) })
	return errors.Join(e, err)
}

// Write sends a message of the engine's. Its OPEN doesn't offer what we couldn't use, and tells a node what we promise.
func (w *wire) Write(m []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if len(m) > headLen && m[18] == typeNotification {
		if m[headLen] == holdTimerExpired {
			w.mute()
		}
		w.hearNotice(m, false)
	}
	if len(m) <= headLen || m[18] != typeOpen {
		return w.TCPConn.Write(m)
	}
	sent := w.offer(m)
	if _, err := w.TCPConn.Write(sent); err != nil {
		return 0, err
	}
	return len(m), nil
}

// offer is the OPEN to be sent for the engine's.
func (w *wire) offer(m []byte) []byte {
	var list []byte
	capabilities(m, func(code byte, value []byte) {
		w.addPaths.Store(w.addPaths.Load() || code == capAddPath)
		if code != capNextHop {
			list = append(append(list, code, byte(len(value))), value...)
		}
	})
	if w.node {
		list = append(append(list, capFullTTL, byte(len(fullTTLWord))), fullTTLWord...)
	}
	if len(list) == 0 || len(list)+2 > 255 {
		return m // the longer form of RFC 9072 is nothing that we use
	}
	body := append([]byte{}, m[headLen:headLen+9]...)
	body = append(body, byte(len(list)+2), 2, byte(len(list)))
	return message(typeOpen, append(body, list...))
}

// capabilities visits those of an OPEN.
func capabilities(m []byte, visit func(code byte, value []byte)) {
	if len(m) < headLen+10 {
		return
	}
	for params := m[headLen+10:]; len(params) >= 2 && len(params) >= 2+int(params[1]); params = params[2+int(params[1]):] {
		if params[0] != 2 {
			continue
		}
		for c := params[2 : 2+int(params[1])]; len(c) >= 2 && len(c) >= 2+int(c[1]); c = c[2+int(c[1]):] {
			visit(c[0], c[2:2+int(c[1])])
		}
	}
}
