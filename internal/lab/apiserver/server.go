// Package apiserver is the lab's Kubernetes API: a small server inside the process that keeps its objects in memory and speaks
// enough of the real protocol (list, watch, patch, status, discovery, tables) that client-go and kubectl can't tell the difference
// on the kinds it serves. It is honest: what it accepts it defaults, validates and refuses as a cluster would, and what it can't
// do it says with the status that a cluster would answer. Nothing in it schedules pods, collects garbage or writes EndpointSlices:
// the lab's stand-ins do that, as clients.
//
// The parts, in the order in which a request meets them: route.go (path to verb), kinds.go (what is served), read.go and write.go
// (the verbs), watching.go (streams), pod.go (into pods), store.go with history.go (the one store), allocate.go with claims.go (cluster IPs, ports).
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Version is the Kubernetes version that the server claims to be at /version: the one whose API types it is built from.
const Version = "v1.37.0"

// Options says what a Server is like. The zero value is a usable server.
type Options struct {
	// Store holds the objects. Nil makes a new one; handing over the Store of an earlier Server is a restart of the API server
	// with its etcd intact.
	Store *Store
	// ServiceCIDRs are the ranges that cluster IPs come from, one for each family, the default family first.
	// None means 10.96.0.0/16 and fd00:10:96::/112. Used only when Store is nil.
	ServiceCIDRs []netip.Prefix
	// History is how many events each resource keeps for watchers that come back; 0 means 16384. Used only when Store is nil.
	History int
	// GracefulPods makes the deletion of a pod that has a node wait for its kubelet, as a cluster does: deletionTimestamp
	// first, removal when the kubelet deletes it again with a grace period of 0. Off, every pod goes at once.
	GracefulPods bool
	// BookmarkEvery is the time between bookmarks of an idle watch; 0 means one minute.
	BookmarkEvery time.Duration
	// Kubelets reach into pods, for exec, logs and port-forward. With nil there is nothing to reach into, and these are not found.
	Kubelets Kubelets
}

// Server answers the Kubernetes API over plain HTTP, without authentication: bind it where only the lab can reach it.
type Server struct {
	*Store
	opts Options
	gate gate
}

// New makes a server that does not listen yet.
func New(opts Options) (*Server, error) {
	if opts.Store == nil {
		store, err := NewStore(opts.ServiceCIDRs, opts.History)
		if err != nil {
			return nil, fmt.Errorf("API server: %w", err)
		}
		opts.Store = store
	}
	if opts.BookmarkEvery == 0 {
		opts.BookmarkEvery = time.Minute
	}
	return &Server{Store: opts.Store, opts: opts}, nil
}

// Run serves on the listener until the context ends, then breaks what is open and returns nil. It owns the listener.
// A Server may run on several listeners at once.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.gate.track,
	}
	stop := context.AfterFunc(ctx, func() { _ = hs.Close() })
	defer stop()
	err := hs.Serve(s.gate.guard(listener))
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("API server on %s: %w", listener.Addr(), err)
}

// SetDown begins (true) or ends (false) an outage. While it lasts every open connection, watches included, is reset, and new ones
// are refused.
func (s *Server) SetDown(down bool) { s.gate.set(down) }

// Kubeconfig is a kubeconfig file for the server at that URL, such as http://10.0.0.1:6443.
func (s *Server) Kubeconfig(serverURL string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster:
    server: %s
contexts:
- name: lab
  context:
    cluster: lab
    user: lab
    namespace: default
users:
- name: lab
  user: {}
`, serverURL)
}
