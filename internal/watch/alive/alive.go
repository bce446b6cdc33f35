package alive

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"kube-router/internal/model"
)

// Inbox receives what is true now.
type Inbox interface {
	Put(model.Object)
	Delete(model.Ref)
}

// The times of probing. Three misses are an outage: 0.75 to 1 s after the node's last answer.
const (
	every = 250 * time.Millisecond
	most  = 3 // misses
	again = 4 // answers in a row until a node that fell silent counts as back
	mute  = 8 // misses of a node that never answered, each with nobody at its address: the kernel asked for a neighbour at least twice
)

// Target is a node to watch.
type Target struct {
	Node string
	Addr netip.Addr // one of its addresses
	Link string     // probe on this link of ours alone; empty: by whatever route
}

// pinger sends echo requests, and hears the answers.
type pinger interface {
	// send asks a target; an error counts as a request without an answer.
	send(t Target, seq uint16) error
	// absent tells that nobody is at a target's address on the link that leads to it: the kernel asks for that neighbour, and has no answer.
	absent(t Target) bool
	// run hands answers to heard until ctx ends.
	run(ctx context.Context, heard func(from netip.Addr, link string, seq uint16)) error
}

// Watch watches nodes.
type Watch struct {
	inbox Inbox
	log   *slog.Logger
	ping  pinger

	mu     sync.Mutex
	wanted map[string][]Target // by who wants to know
	states map[Target]*state
	seq    uint16
	fresh  chan struct{} // there are targets that nobody asked yet
}

// state is what is known of a target.
type state struct {
	known    bool // it answered once
	silent   bool // told as such
	answered bool // the last request, or none was sent
	misses   int  // requests without an answer, in a row
	absences int  // of those, in a row, with nobody at the address
	answers  int  // in a row
}

// New makes a watch of nobody.
func New(inbox Inbox, log *slog.Logger) *Watch {
	return &Watch{inbox: inbox, log: log, ping: newSockets(), wanted: map[string][]Target{}, states: map[Target]*state{}, fresh: make(chan struct{}, 1)}
}

// Want replaces what one part of the daemon wants to know about.
func (w *Watch) Want(who string, list []Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(list) == 0 {
		delete(w.wanted, who)
	} else {
		w.wanted[who] = list
	}
	keep := map[Target]bool{}
	for _, l := range w.wanted {
		for _, t := range l {
			keep[t] = true
			if w.states[t] == nil {
				w.states[t] = &state{answered: true}
				select {
				case w.fresh <- struct{}{}:
				default:
				}
			}
		}
	}
	for t, s := range w.states {
		if !keep[t] {
			delete(w.states, t)
			w.tell(t, s, false)
		}
	}
}

// Run probes until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := w.ping.run(ctx, w.heard); err != nil && ctx.Err() == nil {
			w.log.Warn("nodes can't be watched by ICMP echo; that one is gone is learned from the API server alone", "error", err)
		}
	})
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.fresh:
			w.greet()
		case <-tick.C:
			w.probe()
		}
	}
}

// probe judges the last round, and asks everybody anew. A round that our own host was too busy to send in time judges nobody: the answers
// wait in the socket, and are read before the next.
func (w *Watch) probe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	for t, s := range w.states {
		if !s.answered {
			s.misses++
			s.answers = 0
			if w.gone(t, s) {
				w.tell(t, s, true)
			}
		}
		s.answered = false
		_ = w.ping.send(t, w.seq) // counts as a request without an answer
	}
}

// gone judges a node that did not answer. One that never did may have died before it was watched, or sit behind a firewall that drops echo
// requests. Firewalls rarely drop ARP and neighbour solicitations: where these have no answer either, the node is gone.
func (w *Watch) gone(t Target, s *state) bool {
	if s.known {
		return s.misses >= most
	}
	if s.absences++; !w.ping.absent(t) {
		s.absences = 0
	}
	return s.absences >= mute
}

// greet asks those at once that were not asked yet, so that little time is left in which one may die unknown.
func (w *Watch) greet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, s := range w.states {
		if !s.known && s.misses == 0 && s.answered {
			_ = w.ping.send(t, w.seq) // the next round asks again
		}
	}
}

// heard takes an answer, be it to the last request or to one before.
func (w *Watch) heard(from netip.Addr, link string, seq uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, s := range w.states {
		if t.Addr != from || t.Link != link || w.seq-seq >= most {
			continue
		}
		s.known, s.answered, s.misses = true, true, 0
		if s.answers++; s.silent && s.answers >= again {
			w.tell(t, s, false)
		}
	}
}

// tell reports a change. Of several addresses of one node each may be watched; any one's silence is the node's.
func (w *Watch) tell(t Target, s *state, silent bool) {
	if s.silent == silent {
		return
	}
	s.silent = silent
	o := &model.Silence{Node: t.Node, Link: t.Link}
	if silent {
		w.log.Warn("a node has fallen silent", "node", t.Node, "address", t.Addr, "link", t.Link)
		w.inbox.Put(o)
		return
	}
	for other, s := range w.states {
		if other != t && other.Node == t.Node && other.Link == t.Link && s.silent {
			return
		}
	}
	w.log.Info("a node is heard of again", "node", t.Node, "address", t.Addr, "link", t.Link)
	w.inbox.Delete(o.Ref())
}
