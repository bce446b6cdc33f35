package reconcile

import (
	"slices"
	"sync"
	"time"

	"kube-router/internal/row"
)

// Ordered is a lane that may have an order with others.
type Ordered interface{ seat() seat }

type seat struct {
	steps *progress
	wake  func()
	learn func(order)
}

// Order lets one table be written before another: what an owner has changed in first is tried before what it has changed in then. What
// it no longer wants goes in reverse: from first once then has done all that it wants there, but for rows that say that they must go with
// what replaces them (Lingers). No lane waits: a change that comes too early is put off, alone, until the other table's next step, and for
// Pace.Yield at most. Rows that fail hold nobody up. It counts for claims made from now on; safe while both lanes run.
func Order(first, then Ordered) {
	a, b := first.seat(), then.seat()
	a.steps.follow(b.wake)
	b.steps.follow(a.wake)
	a.learn(order{then: []*progress{b.steps}})
	b.learn(order{first: []*progress{a.steps}})
}

// order are the tables before and after one.
type order struct{ first, then []*progress }

// lingering is a row that tells whether it may stand for a moment after its owner has ceased to want it. All others may.
type lingering interface{ Lingers() bool }

// early is a change that was put off, since when, and who made it.
type early struct {
	by    Owner
	since time.Time
}

func (l *Lane[K, R]) seat() seat {
	return seat{steps: &l.ledger.steps, wake: l.ledger.signal, learn: func(o order) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.order = order{append(l.order.first, o.first...), append(l.order.then, o.then...)}
	}}
}

// putOff tells whether another table must be written before a change, and notes that it waits.
func (l *Lane[K, R]) putOff(c row.Change[K, R], by Owner, now time.Time) bool {
	e, waits := l.early[c.Key]
	if by != (Owner{}) && (!waits || e.by != by) {
		e = early{by, now}
	}
	if e.by == (Owner{}) || now.Sub(e.since) >= l.pace.Yield || !l.order.before(e.by, c.New == nil && lingers(*c.Old), now.Add(-l.pace.Yield)) {
		delete(l.early, c.Key)
		return false
	}
	l.early[c.Key] = e
	return true
}

func lingers(r any) bool {
	s, ok := r.(lingering)
	return !ok || s.Lingers()
}

// before tells whether others are to be written first. Those that can't be written since before a time are not waited for.
func (o order) before(by Owner, removal bool, since time.Time) bool {
	for _, p := range o.first {
		if p.busy(by, false, since) {
			return true
		}
	}
	if removal {
		for _, p := range o.then {
			if p.busy(by, true, since) {
				return true
			}
		}
	}
	return false
}

// putOffBy are the owners of changes that were put off.
func (l *Lane[K, R]) putOffBy() map[Owner]struct{} {
	if len(l.early) == 0 {
		return nil
	}
	owners := map[Owner]struct{}{}
	for _, e := range l.early {
		owners[e.by] = struct{}{}
	}
	return owners
}

// progress is whose claims a table has not tried yet. Its lock is the last that anybody takes.
type progress struct {
	mu     sync.Mutex
	wake   []func()           // those with whom there is an order; none: nothing is noted
	fresh  map[Owner]struct{} // have claimed
	work   map[Owner]struct{} // are in the lane's hands
	early  map[Owner]struct{} // have changes there that were put off
	asked  bool               // somebody waits for one of them
	broken time.Time          // since when the table can't be written
}

func (p *progress) follow(wake func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = append(slices.Clone(p.wake), wake)
}

func (p *progress) claimed(o Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wake) > 0 {
		p.fresh = with(p.fresh, o)
	}
}

// begin says that the lane takes all that is claimed; it tells whether there is an order.
func (p *progress) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for o := range p.fresh {
		p.work = with(p.work, o)
	}
	p.fresh = nil
	return len(p.wake) > 0
}

func with(set map[Owner]struct{}, o Owner) map[Owner]struct{} {
	if set == nil {
		set = map[Owner]struct{}{}
	}
	set[o] = struct{}{}
	return set
}

// end says that the lane has tried what it took, but for what it put off.
func (p *progress) end(early map[Owner]struct{}) {
	p.mu.Lock()
	p.work, p.early, p.broken = nil, early, time.Time{}
	var wake []func()
	if p.asked {
		wake = p.wake
	}
	p.asked = false
	p.mu.Unlock()
	for _, f := range wake {
		f()
	}
}

// broke says since when the table can't be written.
func (p *progress) broke(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = since
}

// busy tells whether something of an owner has not been tried yet; with all also what was put off. Whoever is told so is woken by the
// next step.
func (p *progress) busy(o Owner, all bool, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.broken.IsZero() && !p.broken.After(since) {
		return false
	}
	_, fresh := p.fresh[o]
	_, work := p.work[o]
	_, early := p.early[o]
	p.asked = p.asked || fresh || work || all && early
	return fresh || work || all && early
}
