package names

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kube-router/internal/model"
)

// Inbox takes what is learned.
type Inbox interface {
	Put(model.Object)
	Delete(model.Ref)
	Replace(model.Kind, []model.Object)
}

// Standing returns when what was planned for a name is in force; an error tells what is missing.
type Standing func(context.Context) error

// Bounds of what is kept. Beyond them a name's addresses are not opened, which is counted and told.
const (
	MostOfName    = 1000   // addresses of one name that count
	MostOfPattern = 10_000 // addresses of all names together that one pattern of policies is about
)

const (
	hold       = time.Second    // the longest that an answer is held: resolvers of clients ask again after two seconds or more
	lapsedFor  = 24 * time.Hour // how long it is known that an address counted once
	lapsedMost = MostOfPattern  // of a pattern; beyond it all are forgotten
)

// Watch knows the names that policies of this node's pods are about.
type Watch struct {
	inbox        Inbox
	least, grace time.Duration
	log          *slog.Logger
	journal      *journal
	loaded       atomic.Bool
	wake         chan struct{}
	streams      *streams // the reading goroutine's alone

	mu       sync.Mutex
	known    map[string]*name
	patterns map[string]*pattern
	due      schedule
	stats    Stats
}

// pattern is one that policies name domains by.
type pattern struct {
	text   string
	names  map[*name]struct{}
	addrs  int // that count, of all names
	lapsed int // that did
	over   bool
}

// name is one that was asked.
type name struct {
	text     string
	addrs    map[netip.Addr]*life
	count    int // of those that aren't lapsed
	patterns []*pattern
	waiters  []*waiter
	standing Standing  // of what was planned last; nil: nothing yet
	next     time.Time // when the first of them changes
	place    int       // in the schedule
}

// life is that of one address of a name.
type life struct {
	until   time.Time // it counts
	lapsed  bool      // it did
	planned bool      // the network has been told
	stands  bool      // and has it
}

// waiter waits until addresses of a name are in force.
type waiter struct {
	of      *name
	addrs   []netip.Addr
	planned chan Standing
}

// Config is what a Watch is made of.
type Config struct {
	Inbox Inbox
	Least time.Duration // how long an address counts that is told to count shorter
	Grace time.Duration // for how much longer than told each counts
	File  string        // where what is known outlives the daemon
	Log   *slog.Logger
}

// New makes a Watch that knows nothing.
func New(c Config) *Watch {
	return &Watch{
		inbox: c.Inbox, least: c.Least, grace: c.Grace, log: c.Log, journal: &journal{path: c.File}, wake: make(chan struct{}, 1),
		streams: newStreams(), known: map[string]*name{}, patterns: map[string]*pattern{},
	}
}

// Synced tells whether what an earlier life knew has been read.
func (w *Watch) Synced() bool { return w.loaded.Load() }

// Load tells the inbox what an earlier life knew. Where that can't be read nothing is known, which is logged: names open nothing then
// until they are asked for again.
func (w *Watch) Load() {
	now := time.Now()
	list, err := w.journal.load()
	if err != nil {
		w.log.Warn("what domain names stand for is not known from before", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range list {
		if !l.until.Add(lapsedFor).After(now) || l.until.After(now.Add(longest+w.grace)) {
			continue
		}
		n := w.known[l.name]
		if n == nil {
			n = &name{text: l.name, addrs: map[netip.Addr]*life{}, place: -1}
			w.known[l.name] = n
		}
		if len(n.addrs) < MostOfName {
			n.addrs[l.addr] = &life{until: l.until, lapsed: !l.until.After(now), planned: true, stands: true}
		}
	}
	objects := make([]model.Object, 0, len(w.known))
	for _, n := range w.known {
		n.recount()
		w.due.set(n, n.soonest())
		objects = append(objects, n.domain())
	}
	w.inbox.Replace(model.KindDomain, objects)
	w.loaded.Store(true)
}

// Want says by which patterns policies name domains now. Names that none of them is about are forgotten.
func (w *Watch) Want(patterns []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := make(map[string]*pattern, len(patterns))
	for _, text := range patterns {
		p := w.patterns[text]
		if p == nil {
			p = &pattern{text: text}
		}
		p.names, p.addrs, p.lapsed = map[*name]struct{}{}, 0, 0
		now[text] = p
	}
	w.patterns = now
	for text, n := range w.known {
		n.patterns = w.about(text)
		if len(n.patterns) == 0 {
			w.drop(n)
			continue
		}
		for _, p := range n.patterns {
			p.names[n] = struct{}{}
			p.addrs += n.count
			p.lapsed += len(n.addrs) - n.count
		}
	}
	w.journal.stale = true
}

// about are the patterns that are about a name.
func (w *Watch) about(text string) (list []*pattern) {
	model.DomainPatterns(text, func(s string) {
		if p := w.patterns[s]; p != nil {
			list = append(list, p)
		}
	})
	return list
}

// drop forgets a name.
func (w *Watch) drop(n *name) {
	for _, p := range n.patterns {
		if _, ok := p.names[n]; ok {
			delete(p.names, n)
			p.addrs -= n.count
			p.lapsed -= len(n.addrs) - n.count
		}
	}
	delete(w.known, n.text)
	w.due.remove(n)
	for _, one := range n.waiters {
		one.planned <- nothing
	}
	n.waiters = nil
	w.inbox.Delete((&model.Domain{Name: n.text}).Ref())
}

func nothing(context.Context) error { return nil }

// learn takes what an answer says. It gives what is to be waited for; nil: all of it is in force.
func (w *Watch) learn(a Answer, now time.Time) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.known[a.Name]
	if n == nil {
		about := w.about(a.Name)
		if len(about) == 0 {
			w.stats.Others++
			return nil
		}
		n = &name{text: a.Name, addrs: map[netip.Addr]*life{}, patterns: about, place: -1}
	}
	var wait []netip.Addr
	var lines []line
	news := false
	for _, t := range a.Addrs {
		if !opens(t.Addr) {
			w.stats.Barred++
			continue
		}
		l := n.addrs[t.Addr]
		if l == nil || l.lapsed {
			if !w.room(n) {
				w.stats.Beyond++
				continue
			}
			l, news = w.begin(n, t.Addr), true
		}
		if until := now.Add(max(t.TTL, w.least) + w.grace); until.After(l.until) {
			l.until = until
			lines = append(lines, line{n.text, t.Addr, until})
		}
		if !l.stands {
			wait = append(wait, t.Addr)
		}
	}
	if len(lines) > 0 {
		w.journal.add(lines, w.log)
		w.due.set(n, n.soonest())
		w.nudge()
	}
	if news {
		w.stats.Learned++
		w.inbox.Put(n.domain())
	} else {
		w.stats.Known++
	}
	if len(wait) == 0 {
		return nil
	}
	one := &waiter{of: n, addrs: wait, planned: make(chan Standing, 1)}
	n.waiters = append(n.waiters, one)
	n.tell()
	return one
}

// begin lets an address count that didn't.
func (w *Watch) begin(n *name, a netip.Addr) *life {
	if l := n.addrs[a]; l != nil {
		for _, p := range n.patterns {
			p.lapsed--
		}
		*l = life{}
	} else {
		n.addrs[a] = &life{}
	}
	n.count++
	w.known[n.text] = n
	for _, p := range n.patterns {
		p.names[n] = struct{}{}
		p.addrs++
	}
	return n.addrs[a]
}

// room tells whether one more address may count: of its name, and of a pattern that is about it.
func (w *Watch) room(n *name) bool {
	some := false
	for _, p := range n.patterns {
		full := p.addrs >= MostOfPattern
		if full && !p.over {
			w.log.Warn("domain names that a pattern of policies is about have too many addresses: more are not opened", "pattern", p.text, "most", MostOfPattern)
		}
		p.over = full
		some = some || !full
	}
	return some && n.count < MostOfName
}

// Learned hears that the network was told of a name, and when that is in force.
func (w *Watch) Learned(d *model.Domain, standing Standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.known[d.Name]
	if n == nil {
		return
	}
	for _, a := range d.Addrs {
		if l := n.addrs[a]; l != nil && !l.lapsed {
			l.planned = true
		}
	}
	n.standing = standing
	n.tell()
}

// tell lets those go on to wait whose addresses are planned.
func (n *name) tell() {
	n.waiters = slices.DeleteFunc(n.waiters, func(one *waiter) bool {
		for _, a := range one.addrs {
			if l := n.addrs[a]; l != nil && !l.lapsed && !l.planned {
				return false
			}
		}
		if n.standing == nil {
			return false
		}
		one.planned <- n.standing
		return true
	})
}

// await returns when the addresses are in force, or can't be waited for any longer.
func (w *Watch) await(ctx context.Context, one *waiter) error {
	select {
	case standing := <-one.planned:
		if err := standing(ctx); err != nil {
			return err
		}
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		one.of.waiters = slices.DeleteFunc(one.of.waiters, func(o *waiter) bool { return o == one })
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range one.addrs {
		if l := one.of.addrs[a]; l != nil && l.planned && !l.lapsed {
			l.stands = true
		}
	}
	return nil
}

// Packet reads a packet that is held, and lets it pass by calling pass once: at once, or when what it tells is in force, but never later
// than within a second. It is called by one goroutine.
func (w *Watch) Packet(ctx context.Context, packet []byte, pass func()) {
	begun := time.Now()
	wait := w.read(packet, begun)
	if len(wait) == 0 {
		pass()
		return
	}
	go func() {
		defer pass()
		ctx, cancel := context.WithTimeout(ctx, hold)
		defer cancel()
		late := false
		for _, one := range wait {
			late = w.await(ctx, one) != nil || late
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stats.Held++
		w.stats.HeldFor += time.Since(begun)
		if late {
			w.stats.Late++
		}
	}()
}

// read learns from a packet, and gives what is to be waited for.
func (w *Watch) read(packet []byte, now time.Time) (wait []*waiter) {
	seg, ok := readPacket(packet)
	var messages [][]byte
	switch {
	case !ok:
		w.unread(nil)
	case seg.tcp:
		messages = w.streams.take(seg)
	default:
		messages = [][]byte{seg.data}
	}
	for _, m := range messages {
		a, err := ParseAnswer(m)
		if err != nil {
			w.unread(err)
			continue
		}
		if one := w.learn(a, now); one != nil {
			wait = append(wait, one)
		}
	}
	return wait
}
