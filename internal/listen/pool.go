package listen

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Pool is the connections of one listener, or of several together. When it is full, a new one is let in and the
// oldest of whoever has most of them is closed: a client with many shuts itself out, not the probe of kubelet. For
// sockets that only root can open, whose requests are short, a new one waits instead.
type Pool struct {
	most int
	slot chan struct{} // of a pool that waits: one for each connection; nil: the pool closes the oldest

	mu    sync.Mutex
	conns []*conn // in the order of their arrival
}

// NewPool makes a pool of at most that many connections, which closes the oldest of whoever has most.
func NewPool(most int) *Pool { return &Pool{most: most} }

// NewQueue makes a pool of at most that many connections, in which a new one waits for room.
func NewQueue(most int) *Pool { return &Pool{most: most, slot: make(chan struct{}, most)} }

// Open is how many connections there are now.
func (p *Pool) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// admit takes a connection in, and closes another where there is no room.
func (p *Pool) admit(c net.Conn) *conn {
	n := &conn{Conn: c, pool: p, from: source(c)}
	p.mu.Lock()
	p.conns = append(p.conns, n)
	var out *conn
	if p.slot == nil && len(p.conns) > p.most {
		out = p.oldest()
	}
	p.mu.Unlock()
	if out != nil {
		out.Close()
	}
	return n
}

// oldest is the first connection of the source that has most.
func (p *Pool) oldest() *conn {
	count := map[netip.Prefix]int{}
	for _, c := range p.conns {
		count[c.from]++
	}
	out := p.conns[0]
	for _, c := range p.conns {
		if count[c.from] > count[out.from] {
			out = c
		}
	}
	return out
}

func (p *Pool) leave(c *conn) {
	p.mu.Lock()
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
	p.mu.Unlock()
	if p.slot != nil {
		<-p.slot
	}
}

// conn leaves its pool when it is closed.
type conn struct {
	net.Conn
	pool *Pool
	from netip.Prefix
	gone atomic.Bool
}

// Close closes the connection. It may be called by its server and by the pool.
func (c *conn) Close() error {
	if c.gone.Swap(true) {
		return net.ErrClosed
	}
	err := c.Conn.Close()
	c.pool.leave(c)
	return err
}

// source is who a connection counts for: an IPv4 address, or the /64 of an IPv6 address, all of which one host may
// have. What isn't TCP counts together.
func source(c net.Conn) netip.Prefix {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := a.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}
