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

	"kube-router/internal/row"
)

// haste makes sessions begin at once. By itself the engine waits for two seconds before it first dials a
// peer and leaves a peer whose session ended alone for five, and has no setting for either; a node that joins
// or becomes a reflector would be without routes for so long.
//
// It dials our peers in the engine's place and hands their connections to it as if they had been accepted (dial.go),
// and makes a peer anew whose session has ended, which begins without a rest.
type haste struct {
	server *server.BgpServer
	gate   *gate
	log    *slog.Logger

	ctx   context.Context
	tasks sync.WaitGroup
	slots chan struct{} // connections that may be tried at a time

	mu      sync.RWMutex // whoever changes the engine's peers; for reading: who must not miss one that is made anew
	dialing map[netip.Addr]*dialer
	born    map[netip.Addr]time.Time // since when the engine has a peer as it is
	rested  map[netip.Addr]time.Time // when a peer would have had all the rest that it was spared
}

const (
	// atOnce bounds the connections that are tried at a time.
	atOnce = 64
	// eager is for how long a peer is called in haste. After that it is called every two seconds.
	eager = 10 * time.Second
	// check is how often peers are looked for whom nobody calls: news of one may have been lost.
	check = 10 * time.Second
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
func hurry(ctx context.Context, s *server.BgpServer, g *gate, log *slog.Logger) *haste {
	h := &haste{
		server: s, gate: g, log: log, ctx: ctx, slots: make(chan struct{}, atOnce),
		dialing: map[netip.Addr]*dialer{}, born: map[netip.Addr]time.Time{}, rested: map[netip.Addr]time.Time{},
	}
	idle, active := make(chan ended, 1024), make(chan netip.Addr, 1024)
	err := s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
			if e.Type != apiutil.PEER_EVENT_STATE {
				return
			}
			peer := e.Peer.State.NeighborAddress.Unmap()
			switch e.Peer.State.SessionState {
			case bgp.BGP_FSM_IDLE:
				select {
				case idle <- ended{peer, at}:
				default: // the engine's own rest is always there
				}
			case bgp.BGP_FSM_ACTIVE:
				select {
				case active <- peer:
				default: // it is found later
				}
			}
		},
	}, server.WatchPeer())
	if err != nil {
		log.Warn("sessions that end rest for five seconds", "error", err)
	}
	h.tasks.Go(func() {
		tick := time.NewTicker(check)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-idle:
				h.tasks.Go(func() { h.wake(e) })
			case a := <-active:
				h.tasks.Go(func() { h.reach(a.String()) })
			case <-tick.C:
				h.reach("")
			}
		}
	})
	return h
}

// reach calls a peer of ours that waits for a connection, or all (empty).
func (h *haste) reach(peer string) {
	var list []row.BgpPeer
	_ = h.server.ListPeer(h.ctx, &api.ListPeerRequest{Address: peer}, func(p *api.Peer) {
		h.gate.complete(p)
		if r, ours := readPeer(p); ours && p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ACTIVE {
			list = append(list, r)
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range list {
		if h.dialing[p.Addr] == nil {
			h.dial(p)
		}
	}
}

// wait returns when nothing is done in haste any more. The context must have ended.
func (h *haste) wait() {
	h.mu.Lock() // whoever has it now may begin something, and nobody will after
	clear(h.dialing)
	h.mu.Unlock()
	h.tasks.Wait()
}

// answer answers a call to the engine. Those that change peers come one after the other, and a peer that is new
// then is dialled.
func (h *haste) answer(ctx context.Context, r any, next grpc.UnaryHandler) (any, error) {
	switch r := r.(type) {
	case *api.StartBgpRequest:
		return h.start(ctx, r, next)
	case *api.GetBgpRequest:
		answer, err := next(ctx, r)
		if is, ok := answer.(*api.GetBgpResponse); ok && err == nil {
			h.gate.started(is)
		}
		return answer, err
	case *api.AddPeerRequest:
		return h.change(ctx, r.GetPeer(), func(p *api.Peer) any { return &api.AddPeerRequest{Peer: p} }, next)
	case *api.UpdatePeerRequest:
		return h.change(ctx, r.GetPeer(), func(p *api.Peer) any {
			return &api.UpdatePeerRequest{Peer: p, DoSoftResetIn: r.DoSoftResetIn}
		}, next)
	case *api.DeletePeerRequest:
		gone := &api.Peer{Conf: &api.PeerConf{NeighborAddress: r.GetAddress()}}
		return h.change(ctx, gone, func(*api.Peer) any { return r }, next)
	}
	return next(ctx, r)
}

// start begins BGP, with the gate in the place of the engine's listeners.
func (h *haste) start(ctx context.Context, r *api.StartBgpRequest, next grpc.UnaryHandler) (any, error) {
	to, err := h.gate.open(r)
	if err != nil {
		return nil, err
	}
	answer, err := next(ctx, to)
	if err != nil && to != r {
		h.gate.close()
	}
	return answer, err
}

// change answers a call that is about one peer.
func (h *haste) change(ctx context.Context, p *api.Peer, request func(*api.Peer) any, next grpc.UnaryHandler) (any, error) {
	addr, err := netip.ParseAddr(p.GetConf().GetNeighborAddress())
	if err != nil {
		return next(ctx, request(p)) // a peer that an interface is for
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hush(addr)
	want, ours := readPeer(p)
	if !ours {
		defer h.gate.forget(addr)
	}
	answer, err := next(ctx, request(h.gate.expect(p)))
	h.born[addr] = time.Now()
	if ours && err == nil {
		h.dial(want)
	}
	return answer, err
}

// list answers a call for all peers.
func (h *haste) list(srv any, s grpc.ServerStream, next grpc.StreamHandler) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return next(srv, completed{s, h.gate})
}

// completed is a stream of peers to which the gate adds what it knows of them.
type completed struct {
	grpc.ServerStream
	gate *gate
}

// SendMsg sends a message.
func (c completed) SendMsg(m any) error {
	if r, ok := m.(*api.ListPeerResponse); ok {
		c.gate.complete(r.GetPeer())
	}
	return c.ServerStream.SendMsg(m)
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
// engine's peer keeps its routes. One of which nothing was heard for the hold time doesn't restart: its routes must go
// (RFC 4271 section 6.5; only RFC 8538, which we don't offer, has it otherwise), and the engine would keep them. It is
// false for one that doesn't rest yet.
func (h *haste) revive(e ended) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := e.peer
	if !e.at.After(h.born[a]) {
		return true // it has been made anew since, which begins with a rest of no time
	}
	p := h.look(a)
	r, ours := readPeer(p)
	state, restarts := p.GetState().GetSessionState(), p.GetGracefulRestart().GetPeerRestarting()
	silent := restarts && h.gate.silent(a) // which the engine doesn't let rest
	if ours && state != api.PeerState_SESSION_STATE_IDLE && !silent {
		return false
	}
	if !ours || p.GetState().GetAdminState() != api.PeerState_ADMIN_STATE_UP || restarts && !silent || !restarts && !h.spare(a, time.Now()) {
		return true
	}
	if err := h.server.DeletePeer(h.ctx, &api.DeletePeerRequest{Address: a.String()}); err != nil {
		return true
	}
	again := h.gate.expect(peerMessage(r, p.GetGracefulRestart().GetLocalRestarting()))
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
	if found != nil {
		h.gate.complete(found)
	}
	return found
}
