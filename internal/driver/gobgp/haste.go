package gobgp

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/grpc"
)

// haste makes sessions begin at once. By itself the engine waits for two seconds before it first dials a
// peer and leaves a peer whose session ended alone for five, and has no setting for either; a node that joins
// or becomes a reflector would be without routes for so long.
//
// It dials peers that are new and hands their connections to the engine as if they had been accepted (dial.go),
// and makes a peer anew whose session has ended, which begins without a rest.
type haste struct {
	server *server.BgpServer
	log    *slog.Logger

	ctx   context.Context
	tasks sync.WaitGroup
	slots chan struct{} // connections that may be tried at a time

	mu      sync.RWMutex // whoever changes the engine's peers; for reading: who must not miss one that is made anew
	dialing map[netip.Addr]context.CancelFunc
	born    map[netip.Addr]time.Time // since when the engine has a peer as it is
	rested  map[netip.Addr]time.Time // when a peer would have had all the rest that it was spared
}

const (
	// atOnce bounds the connections that are tried at a time.
	atOnce = 64
	// eager is for how long a new peer is dialled. After that the engine does it alone, every two seconds.
	eager = 10 * time.Second
	// deference is how long the end with the lesser address waits for the other one to dial. Two connections
	// at a time would end each other: both ends believe to have accepted them (RFC 4271 section 6.8).
	deference = 200 * time.Millisecond
	// firstGap and lastGap are the times between two tries.
	firstGap = 50 * time.Millisecond
	lastGap  = time.Second
	// peace is the rest that the engine gives a peer whose session ended, and spared how many of them in a row
	// a peer is spared: rests are for peers whose sessions end again and again.
	peace  = 5 * time.Second
	spared = 4
)

// hurry begins to make haste until ctx ends; wait for that.
func hurry(ctx context.Context, s *server.BgpServer, log *slog.Logger) *haste {
	h := &haste{
		server: s, log: log, ctx: ctx, slots: make(chan struct{}, atOnce),
		dialing: map[netip.Addr]context.CancelFunc{}, born: map[netip.Addr]time.Time{}, rested: map[netip.Addr]time.Time{},
	}
	idle := make(chan ended, 1024)
	err := s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
			if e.Type == apiutil.PEER_EVENT_STATE && e.Peer.State.SessionState == bgp.BGP_FSM_IDLE {
				select {
				case idle <- ended{e.Peer.State.NeighborAddress.Unmap(), at}:
				default: // the engine's own rest is always there
				}
			}
		},
	}, server.WatchPeer())
	if err != nil {
		log.Warn("sessions that end rest for five seconds", "error", err)
	}
	h.tasks.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-idle:
				h.tasks.Go(func() { h.wake(e) })
			}
		}
	})
	return h
}

// wait returns when nothing is done in haste any more. The context must have ended.
func (h *haste) wait() {
	h.mu.Lock() // whoever has it now may begin something, and nobody will after
	clear(h.dialing)
	h.mu.Unlock()
	h.tasks.Wait()
}

// call answers a call to the engine. Those that change peers come one after the other, and a peer that is new
// then is dialled.
func (h *haste) call(ctx context.Context, r any, next grpc.UnaryHandler) (any, error) {
	var p *api.Peer
	switch r := r.(type) {
	case *api.AddPeerRequest:
		p = r.GetPeer()
	case *api.UpdatePeerRequest:
		p = r.GetPeer()
	case *api.DeletePeerRequest:
		p = &api.Peer{Conf: &api.PeerConf{NeighborAddress: r.GetAddress()}}
	default:
		return next(ctx, r)
	}
	addr, err := netip.ParseAddr(p.GetConf().GetNeighborAddress())
	if err != nil {
		return next(ctx, r) // a peer that an interface is for
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if stop := h.dialing[addr]; stop != nil {
		stop()
		delete(h.dialing, addr)
	}
	answer, err := next(ctx, r)
	h.born[addr] = time.Now()
	if want, ours := readPeer(p); ours && err == nil {
		h.dial(want)
	}
	return answer, err
}

// list answers the daemon's call for all peers.
func (h *haste) list(srv any, s grpc.ServerStream, next grpc.StreamHandler) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return next(srv, s)
}

// ended tells that a peer's session ended, or the peer itself, which the engine tells alike.
type ended struct {
	peer netip.Addr
	at   time.Time
}

// wake revives a peer that is said to rest. The engine says so a moment before it is.
func (h *haste) wake(e ended) {
	for range 10 {
		if h.revive(e) || !pause(h.ctx, 10*time.Millisecond) {
			return
		}
	}
}

// revive makes a peer of ours anew that would rest, unless it restarts in grace (RFC 4724), for then the
// engine's peer keeps its routes. It is false for one that doesn't rest yet.
func (h *haste) revive(e ended) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := e.peer
	if !e.at.After(h.born[a]) {
		return true // it has been made anew since, which begins with a rest of no time
	}
	p := h.look(a)
	r, ours := readPeer(p)
	if ours && p.GetState().GetSessionState() != api.PeerState_SESSION_STATE_IDLE {
		return false
	}
	if !ours || p.GetState().GetAdminState() != api.PeerState_ADMIN_STATE_UP || p.GetGracefulRestart().GetPeerRestarting() ||
		!h.spare(a, time.Now()) {
		return true
	}
	if err := h.server.DeletePeer(h.ctx, &api.DeletePeerRequest{Address: a.String()}); err != nil {
		return true
	}
	again := peerMessage(r, p.GetGracefulRestart().GetLocalRestarting())
	if err := h.server.AddPeer(h.ctx, &api.AddPeerRequest{Peer: again}); err != nil {
		h.log.Warn("a peer whose session ended could not be made anew", "peer", a, "error", err)
		return true
	}
	h.born[a] = time.Now()
	h.dial(r)
	return true
}

// spare tells whether a peer is spared a rest.
func (h *haste) spare(a netip.Addr, now time.Time) bool {
	rested := h.rested[a]
	if rested.Before(now) {
		rested = now
	}
	if rested.Sub(now) > (spared-1)*peace {
		return false
	}
	h.rested[a] = rested.Add(peace)
	return true
}

// look finds a peer; nil: none.
func (h *haste) look(a netip.Addr) *api.Peer {
	var found *api.Peer
	_ = h.server.ListPeer(h.ctx, &api.ListPeerRequest{Address: a.String()}, func(p *api.Peer) { found = p })
	return found
}
