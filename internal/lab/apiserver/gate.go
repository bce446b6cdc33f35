package apiserver

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// A gate makes outages: it knows the listening sockets and the open connections.
type gate struct {
	mu        sync.Mutex
	up        chan struct{}                     // closed when the outage ends; nil outside an outage
	listeners map[net.Listener]syscall.Sockaddr // nil for a listener that is no socket
	open      map[net.Conn]struct{}
}

// backlog of a socket that listens again; the kernel cuts it to its own limit.
const backlog = 4096

// set begins or ends an outage.
func (g *gate) set(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if down == (g.up != nil) {
		return
	}
	for l, addr := range g.listeners {
		if down {
			onSocket(l, deafen)
		} else {
			onSocket(l, func(fd int) { revive(fd, addr) })
		}
	}
	if !down {
		close(g.up)
		g.up = nil
		return
	}
	g.up = make(chan struct{})
	for c := range g.open {
		reset(c)
	}
}

// outage is nil, or closed when the outage ends.
func (g *gate) outage() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.up
}

// track is the http.Server's ConnState hook.
func (g *gate) track(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		if g.open == nil {
			g.open = map[net.Conn]struct{}{}
		}
		g.open[c] = struct{}{}
		if g.up != nil {
			reset(c)
		}
	case http.StateClosed, http.StateHijacked:
		delete(g.open, c)
	}
}

// guard puts a listener under the gate.
func (g *gate) guard(l net.Listener) net.Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listeners == nil {
		g.listeners = map[net.Listener]syscall.Sockaddr{}
	}
	g.listeners[l] = nil
	onSocket(l, func(fd int) { g.listeners[l], _ = syscall.Getsockname(fd) })
	if g.up != nil {
		onSocket(l, deafen)
	}
	return &guarded{Listener: l, gate: g, closed: make(chan struct{})}
}

// A guarded listener waits through outages.
type guarded struct {
	net.Listener
	gate   *gate
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a connection outside an outage.
func (l *guarded) Accept() (net.Conn, error) {
	for deaf := 0; ; {
		c, err := l.Listener.Accept()
		up := l.gate.outage()
		switch {
		case up == nil && errors.Is(err, syscall.EINVAL) && deaf < 10: // it did not listen then, but the outage is over now
			deaf++
		case up == nil:
			return c, err
		case err == nil:
			reset(c)
		default:
			select {
			case <-up:
			case <-l.closed:
				return nil, net.ErrClosed
			}
		}
	}
}

// Close ends Accept too, outage or not.
func (l *guarded) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.gate.mu.Lock()
	delete(l.gate.listeners, l.Listener)
	l.gate.mu.Unlock()
	return l.Listener.Close()
}

// deafen makes a socket stop listening. It keeps its network namespace and can listen again (Linux, tcp_disconnect); meanwhile the kernel
// refuses connections as if no process were there.
func deafen(fd int) { _ = syscall.Shutdown(fd, syscall.SHUT_RDWR) } // fails only where it does not listen

// revive makes it listen again. A port that the kernel chose was given back and has to be bound anew; binding a port that was not is
// an error without consequence. If the socket can't listen, Accept says so.
func revive(fd int, addr syscall.Sockaddr) {
	if addr != nil {
		_ = syscall.Bind(fd, addr)
	}
	_ = syscall.Listen(fd, backlog)
}

// onSocket works on a listener's file descriptor; on a listener that has none an outage only resets connections.
func onSocket(l net.Listener, work func(fd int)) {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return // closed already
	}
	_ = raw.Control(func(fd uintptr) { work(int(fd)) }) // fails only on a closed listener
}

// reset closes with a TCP RST instead of a FIN, so that the peer sees a failure and not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed already
	}
	_ = c.Close()
}
