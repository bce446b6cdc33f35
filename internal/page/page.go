// Package page serves a page about the traffic and the health of a cluster on the operator's own machine. It listens on the loopback address
// alone, hands out nothing without the token of its URL, and asks whatever Source it was given, with the rights that the source has.
//
// What a browser gets is bounded: the latest flows, a map of so many vertices and edges, views that are asked for while somebody looks at them.
package page

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"time"

	"kube-router/internal/flow"
	"kube-router/internal/listen"
)

// Source is what the page asks. Its functions may be called by many goroutines at once.
type Source interface {
	// View is one of Views, to be written as JSON.
	View(ctx context.Context, name string) (any, error)
	// Flows gives what the nodes saw of the traffic, the latest first records of each node and then what comes, until ctx ends. A node that
	// gives none is told of by a record with a NodeStatus; one that gives some again by a flow.
	Flows(ctx context.Context, latest int, take func(flow.Record)) error
	// Why is the text of `why` for a flow: pods as NAMESPACE/NAME or addresses, and PORT/PROTOCOL.
	Why(ctx context.Context, from, to, port string) (string, error)
	// Policy is a policy as YAML. The namespace of a ClusterNetworkPolicy is empty.
	Policy(ctx context.Context, kind, namespace, name string) (string, error)
}

// Views are the names of the views that a source has.
func Views() []string {
	return []string{"nodes", "peers", "services", "policies", "pools", "gateways", "encryption"}
}

const (
	latest      = 1000             // flows of each node that are there when the page opens
	connections = 64               // of browsers: each tab has one for the stream and few more
	answering   = 45 * time.Second // for one answer but the stream: a node may take its time
)

// Server serves the page of one Source.
type Server struct {
	Title string // of the cluster: a context's or a lab's name

	source Source
	token  string
	hub    *hub
	views  *views
}

// New makes a server with a token of its own.
func New(source Source, title string) *Server {
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails; see its documentation
	return &Server{Title: title, source: source, token: base64.RawURLEncoding.EncodeToString(secret), hub: newHub(), views: newViews(source)}
}

// Run serves until ctx ends: on 127.0.0.1 at a port, 0 for any that is free. ready is told the page's URL, which holds the token.
func (s *Server) Run(ctx context.Context, port int, ready func(url string)) error {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("listen for a browser: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	flows := make(chan error, 1)
	go func() { flows <- s.source.Flows(ctx, latest, s.hub.take) }()
	served := make(chan error, 1)
	go func() {
		served <- listen.HTTP(ctx, l, listen.NewPool(connections), s.handler(l.Addr().String()), answering)
	}()
	ready("http://" + l.Addr().String() + "/" + s.token + "/")
	for {
		select {
		case err := <-flows:
			if ctx.Err() == nil && err != nil {
				s.hub.trouble("", err.Error()) // the rest of the page is worth having
			}
			flows = nil
		case err := <-served:
			return err
		}
	}
}

func (s *Server) handler(addr string) http.Handler {
	mux := http.NewServeMux()
	at := func(path string, h http.HandlerFunc) { mux.HandleFunc("GET /"+s.token+path, h) }
	at("/{$}", s.asset)
	at("/{file}", s.asset)
	at("/api/about", s.about)
	at("/api/stream", s.stream)
	at("/api/view/{name}", s.view)
	at("/api/why", s.why)
	at("/api/policy", s.policy)
	return guard(addr, s.token, mux)
}
