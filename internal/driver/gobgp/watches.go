package gobgp

import (
	"sync"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
)

// watches are the daemon's streams of events. The engine has no event for a change of its sets, policies or paths; a
// person's call that may have changed some is told as what the daemon reads everything after.
type watches struct {
	mu  sync.Mutex
	all map[*watching]bool
}

// watching is one of them. The engine and we both send on it.
type watching struct {
	grpc.ServerStream
	mu sync.Mutex
}

// SendMsg sends an event.
func (w *watching) SendMsg(m any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ServerStream.SendMsg(m)
}

func (w *watches) add(s grpc.ServerStream) *watching {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*watching]bool{}
	}
	n := &watching{ServerStream: s}
	w.all[n] = true
	return n
}

func (w *watches) remove(n *watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, n)
}

// tell says that everything is to be read again.
func (w *watches) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range w.all {
		_ = n.SendMsg(&api.WatchEventResponse{Event: &api.WatchEventResponse_Peer{
			Peer: &api.WatchEventResponse_PeerEvent{Type: api.WatchEventResponse_PeerEvent_TYPE_END_OF_INIT},
		}}) // one that has just ended reads everything anyway
	}
}
