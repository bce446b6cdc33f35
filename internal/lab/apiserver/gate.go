package apiserver

import (
	"net"
	"net/http"
	"sync"
)

// A gate knows the open connections and can break them all.
type gate struct {
	mu   sync.Mutex
	down bool
	open map[net.Conn]struct{}
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
		if g.down {
			reset(c)
		}
	case http.StateClosed, http.StateHijacked:
		delete(g.open, c)
	}
}

func (g *gate) set(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
	if !down {
		return
	}
	for c := range g.open {
		reset(c)
	}
}

func (g *gate) isDown() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.down
}

// gatedListener resets what arrives during an outage before a byte is read of it.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept waits for a connection outside an outage.
func (l gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.gate.isDown() {
			return c, err
		}
		reset(c)
	}
}

// reset closes with a TCP RST instead of a FIN, so that the peer sees a failure and not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
