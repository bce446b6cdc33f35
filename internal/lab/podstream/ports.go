package podstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
	portnames "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// Dial connects to a TCP port of the pod.
type Dial func(ctx context.Context, port uint16) (net.Conn, error)

// Ports answers a request to forward ports: every connection that the client takes is a pair of streams, data and error, and is dialled anew.
func Ports(w http.ResponseWriter, r *http.Request, dial Dial) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	f := &forwarder{ctx: ctx, dial: dial, pairs: map[string]map[string]httpstream.Stream{}}
	conn := f.upgrade(w, r)
	if conn == nil {
		return // the client was told
	}
	select {
	case <-conn.CloseChan():
	case <-ctx.Done():
	}
	conn.Close()
}

// forwarder puts the streams of one client together in pairs.
type forwarder struct {
	ctx   context.Context
	dial  Dial
	mu    sync.Mutex
	pairs map[string]map[string]httpstream.Stream // request → type → stream, until both are there
}

// upgrade makes the connection that has the streams: SPDY inside a WebSocket (KEP-4006), or plain.
func (f *forwarder) upgrade(w http.ResponseWriter, r *http.Request) httpstream.Connection {
	if !websocket.IsWebSocketUpgrade(r) {
		if _, err := httpstream.Handshake(r, w, []string{portnames.PortForwardV1Name}); err != nil {
			return nil
		}
		return spdy.NewResponseUpgrader().UpgradeResponse(w, r, f.take)
	}
	up := upgrader(portnames.WebsocketsSPDYTunnelingPortForwardV1)
	socket, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil
	}
	conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", socket), f.take)
	if err != nil {
		socket.Close()
		return nil
	}
	return conn
}

// take is called with each stream that the client opens.
func (f *forwarder) take(s httpstream.Stream, replied <-chan struct{}) error {
	port, err := strconv.ParseUint(s.Headers().Get("port"), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("port %q: want 1 to 65535", s.Headers().Get("port"))
	}
	request, kind := s.Headers().Get("requestID"), s.Headers().Get("streamType")
	if request == "" || kind != "data" && kind != "error" {
		return fmt.Errorf("stream %q of request %q: want a pair of data and error", kind, request)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := f.pairs[request]
	if pair == nil {
		pair = map[string]httpstream.Stream{}
		f.pairs[request] = pair
	}
	pair[kind] = s
	if len(pair) == 2 {
		delete(f.pairs, request)
		go func() {
			<-replied
			f.forward(uint16(port), pair["data"], pair["error"])
		}()
	}
	return nil
}

// forward joins a pair of streams to a connection of its own until the pod closes it, or both have nothing more to say.
func (f *forwarder) forward(port uint16, data, errs httpstream.Stream) {
	defer errs.Close()
	defer data.Close()
	conn, err := f.dial(f.ctx, port)
	if err != nil {
		fmt.Fprintf(errs, "error forwarding port %d: %v", port, err)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(f.ctx, func() { conn.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(conn, data) // its end is the client's
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(data, conn) // its end is the pod's
}
