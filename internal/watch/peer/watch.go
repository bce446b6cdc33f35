package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"kube-router/internal/model"
)

// Inbox takes what is found.
type Inbox interface {
	Put(model.Object)
	Delete(model.Ref)
	Replace(model.Kind, []model.Object)
}

// Options are what a Watch needs.
type Options struct {
	Socket string // of the speaker
	Inbox  Inbox
	Log    *slog.Logger
	Synced func()                        // called once, when the first whole picture is told; may be nil
	Turned func(Turn)                    // called when a session comes up or goes down; may be nil
	Before func() ([]*model.Path, error) // the routes of an earlier life; nil: none
}

// Watch follows the speaker's best paths.
type Watch struct {
	Options
	conn *grpc.ClientConn
	api  api.GoBgpServiceClient

	peers map[netip.Addr]State // who they are; may be old, but for the addresses' owners
	heard bool                 // something has been taught, or a session changed, since prefixes were counted
	over  map[netip.Addr]model.Overflow

	mu     sync.Mutex
	synced bool
	told   map[netip.Prefix]told
	seen   map[netip.Addr]State    // the sessions as they were when last asked for
	vain   map[netip.Addr][]string // reasons told of sessions that don't stand
	born   time.Time
}

// told is a path as it was told.
type told struct {
	path  *model.Path
	from  []netip.Addr // the peers that taught it; none: unknown
	taken []netip.Addr // the peers that the speaker has it of, best or not
	stale bool         // of an earlier life
}

// empty tells whether there is nothing to tell.
func (t told) empty() bool { return len(t.path.NextHops) == 0 && len(t.path.Refused) == 0 }

// The times after which routes of an earlier life are dropped.
const (
	settled   = 2 * time.Second // a session that stands so long has brought its routes
	keepStale = time.Minute     // a peer that isn't back by then has lost its routes
)

// New makes a watch; it does nothing before Run.
func New(o Options) (*Watch, error) {
	conn, err := grpc.NewClient("unix://"+o.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the BGP speaker: %w", err)
	}
	return &Watch{Options: o, conn: conn, api: api.NewGoBgpServiceClient(conn), told: map[netip.Prefix]told{}, over: map[netip.Addr]model.Overflow{}, vain: map[netip.Addr][]string{}, born: time.Now()}, nil
}

// HasSynced tells whether what was known at the start has been told. It doesn't wait for peers.
func (w *Watch) HasSynced() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// Run watches until ctx ends, through every life of the speaker.
func (w *Watch) Run(ctx context.Context) error {
	defer w.conn.Close()
	w.remember()
	for {
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.Log.Info("the BGP speaker is away; learned routes stay until it has them again", "error", err)
		w.age()
		if !pause(ctx, 100*time.Millisecond) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// remember takes over the routes of an earlier life.
func (w *Watch) remember() {
	if w.Before == nil {
		return
	}
	paths, err := w.Before()
	if err != nil {
		w.Log.Warn("the routes of an earlier life can't be read", "error", err)
	}
	for _, p := range paths {
		w.told[p.Prefix] = told{path: p, stale: true}
	}
}

// age makes every route one of an earlier life.
func (w *Watch) age() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, t := range w.told {
		t.stale = true
		w.told[k] = t
	}
}

// follow watches one life of the speaker.
func (w *Watch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.api.WatchEvent(ctx, &api.WatchEventRequest{
		Peer: &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{
			{Type: api.WatchEventRequest_Table_Filter_TYPE_BEST},
			// What policy refuses is no best path, and to be told of.
			{Type: api.WatchEventRequest_Table_Filter_TYPE_POST_POLICY},
		}},
		BatchSize: 1024,
	})
	if err != nil {
		return fmt.Errorf("watch the BGP speaker: %w", err)
	}
	// From the end of this on no event is missed.
	if err := begun(stream); err != nil {
		return fmt.Errorf("watch the BGP speaker: %w", err)
	}
	w.peers, w.heard = nil, true
	if err := w.look(ctx, nil); err != nil {
		return err
	}
	w.tellAll()
	hints := newHints()
	ended := make(chan error, 1)
	go func() { ended <- hints.fill(stream) }()
	return w.work(ctx, hints, ended)
}

// work looks where events hint until the stream ends.
func (w *Watch) work(ctx context.Context, h *hints, ended <-chan error) error {
	since := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-h.wake:
			prefixes, peers := h.take()
			if peers {
				// With a session goes what was offered in it, of which no event tells. One may end and come back before anybody asks.
				var err error
				if w.peers, err = w.ask(ctx, false); err != nil {
					return err
				}
				prefixes = append(prefixes, w.inVain()...)
			}
			w.heard = true
			if len(prefixes) == 0 {
				continue
			}
			if err := w.look(ctx, prefixes); err != nil {
				return err
			}
		case <-tick.C:
			if err := w.sweep(ctx, time.Since(since)); err != nil {
				return err
			}
			if err := w.count(ctx); err != nil {
				return err
			}
		}
	}
}

// begun reads events until the speaker says that what is to come is new.
func begun(s grpc.ServerStreamingClient[api.WatchEventResponse]) error {
	for {
		e, err := s.Recv()
		if err != nil {
			return err
		}
		if e.GetPeer().GetType() == api.WatchEventResponse_PeerEvent_TYPE_END_OF_INIT {
			return nil
		}
	}
}

// hints are the prefixes whose best paths may have changed.
type hints struct {
	mu       sync.Mutex
	prefixes map[netip.Prefix]bool
	peers    bool // a peer changed
	wake     chan struct{}
}

func newHints() *hints {
	return &hints{prefixes: map[netip.Prefix]bool{}, wake: make(chan struct{}, 1)}
}

// fill takes hints from the stream until it ends.
func (h *hints) fill(s grpc.ServerStreamingClient[api.WatchEventResponse]) error {
	for {
		e, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the speaker ended the watch")
		}
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.peers = h.peers || e.GetPeer() != nil
		for _, p := range e.GetTable().GetPaths() {
			if prefix, ok := prefixOf(p); ok {
				h.prefixes[prefix] = true
			}
		}
		if h.peers || len(h.prefixes) > 0 {
			select {
			case h.wake <- struct{}{}:
			default:
			}
		}
		h.mu.Unlock()
	}
}

// take empties the hints. What came while somebody was looking is taken together.
func (h *hints) take() (prefixes []netip.Prefix, peers bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]netip.Prefix, 0, len(h.prefixes))
	for p := range h.prefixes {
		list = append(list, p)
	}
	peers = h.peers
	h.prefixes, h.peers = map[netip.Prefix]bool{}, false
	return list, peers
}
