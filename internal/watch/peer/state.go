package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// described begins the description of every peer that the driver made; the Node's name follows.
const described = "kube-router"

// State is a peer with its session.
type State struct {
	Addr       netip.Addr
	ASN        uint32
	Node       string    // the Node that it is; empty: a router outside of the cluster
	Session    string    // as RFC 4271 names the states: IDLE, CONNECT, ACTIVE, OPENSENT, OPENCONFIRM, ESTABLISHED
	Since      time.Time // of ESTABLISHED, or since the session ended; zero: it never stood
	Received   uint64    // prefixes
	Accepted   uint64    // of them, by our policy
	Advertised uint64    // by us, where it was asked for
	Limit      uint32    // prefixes that it may teach; 0: any number
	Beyond     uint64    // announcements that were refused since its session began, because they were beyond the limit
	BFD        string    // UP, DOWN, INIT, ADMIN_DOWN; empty: none
	Flaps      uint32    // sessions that ended
	Reason     string    // why it doesn't stand, or the last one ended, in the RFCs' words; empty: nothing to tell
}

// Established tells whether routes are exchanged.
func (s State) Established() bool { return s.Session == "ESTABLISHED" }

// Type is "internal" for a node, "external" for a router outside.
func (s State) Type() string {
	if s.Node != "" {
		return "internal"
	}
	return "external"
}

// States are all peers, sorted by address. Counting what we advertise costs a look at the whole table.
func (w *Watch) States(ctx context.Context, advertised bool) ([]State, error) {
	peers, err := w.ask(ctx, advertised)
	list := make([]State, 0, len(peers))
	for _, p := range peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b State) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.ASN, b.ASN)) })
	return list, err
}

// ask reads the peers that are ours.
func (w *Watch) ask(ctx context.Context, advertised bool) (map[netip.Addr]State, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all := map[netip.Addr]State{}
	stream, err := w.api.ListPeer(ctx, &api.ListPeerRequest{EnableAdvertised: advertised})
	for err == nil {
		var m *api.ListPeerResponse
		if m, err = stream.Recv(); err == nil {
			if s, ok := state(m.Peer); ok {
				all[s.Addr] = s
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("ask the BGP speaker for its peers: %w", err)
	}
	for _, t := range w.recall(all, time.Now()) {
		w.turned(t)
	}
	return all, nil
}

// recall adds what the speaker forgets of a peer that it makes anew when its session has ended: since when it
// is down, and how often that happened.
// It returns what turned since it was last called.
func (w *Watch) recall(all map[netip.Addr]State, now time.Time) (turns []Turn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a, s := range all {
		was := w.seen[a]
		ended := was.Established() && (!s.Established() || s.Since.After(was.Since))
		if s.Since.IsZero() && ended {
			s.Since = now
		} else if s.Since.IsZero() {
			s.Since = was.Since
		}
		if ended {
			was.Flaps++
		}
		s.Flaps = max(s.Flaps, was.Flaps)
		all[a] = s
		turns = append(turns, w.between(was, s, ended)...)
	}
	for a, was := range w.seen {
		if _, is := all[a]; is {
			continue
		}
		delete(w.vain, a)
		if was.Established() {
			was.Session, was.Reason, was.Since = "IDLE", "the peer is no longer wanted", now
			turns = append(turns, Turn{State: was})
		}
	}
	var nodes []string
	for _, s := range all {
		if s.Node != "" {
			nodes = append(nodes, s.Node)
		}
	}
	for i := range turns {
		turns[i].Nodes = nodes
	}
	w.seen = maps.Clone(all)
	return turns
}

func state(p *api.Peer) (State, bool) {
	word, name, _ := strings.Cut(p.GetConf().GetDescription(), " ")
	ours := word == described
	addr, err := netip.ParseAddr(p.GetConf().GetNeighborAddress())
	if !ours || err != nil {
		return State{}, false
	}
	s := State{
		Addr: addr, ASN: p.Conf.PeerAsn, Node: strings.TrimSpace(name), Flaps: p.GetState().GetFlops(),
		Session: strings.TrimPrefix(p.GetState().GetSessionState().String(), "SESSION_STATE_"),
	}
	at := p.GetTimers().GetState().GetUptime()
	if !s.Established() {
		at = p.GetTimers().GetState().GetDowntime()
	}
	if at != nil {
		s.Since = at.AsTime()
	}
	s.Reason = p.GetState().GetDisconnectMessage()
	s.Beyond = p.GetState().GetMessages().GetReceived().GetDiscarded()
	for _, a := range p.AfiSafis {
		s.Limit = max(s.Limit, a.GetPrefixLimits().GetMaxPrefixes())
		s.Received += a.GetState().GetReceived()
		s.Accepted += a.GetState().GetAccepted()
		s.Advertised += a.GetState().GetAdvertised()
	}
	if p.GetBfd().GetEnabled() {
		s.BFD = strings.TrimPrefix(p.GetState().GetBfdState().GetSessionState().String(), "BFD_SESSION_STATE_")
	}
	return s, true
}
