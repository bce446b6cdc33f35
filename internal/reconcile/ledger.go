// Package reconcile is the verb between rows and drivers: it holds what is wanted and makes it so.
//
// A Ledger knows who wants what; a Lane compares that with what a Target has and lets the target change
// it, again and again until both agree. All waiting, retrying and forgetting of errors happens here, once,
// for every table. Ledgers also hold intents, claimed by API objects, so that both steps of a decision can
// be asked who wanted it.
package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"kube-router/internal/row"
)

// Owner is who wants a row. Where owners want different rows at one key, the lower Rank wins, then the
// lesser Name; never the earlier.
type Owner struct {
	Rank int
	Name string
}

// Compare orders owners by who wins.
func (o Owner) Compare(p Owner) int {
	return cmp.Or(cmp.Compare(o.Rank, p.Rank), strings.Compare(o.Name, p.Name))
}

// entry is what is wanted at one key: the winner and, when there are several claims, all the others.
type entry[R any] struct {
	row    R
	owner  Owner
	others map[Owner]R
	differ int // how many of others want another row than the winner
}

// Ledger holds the claims of all owners to the rows of one table. It may be used by many goroutines.
type Ledger[K comparable, R row.Row[K]] struct {
	mu     sync.Mutex
	want   *keyed[K, *entry[R]]
	claims map[Owner][]R
	dirty  map[K]struct{}
	wake   chan struct{}

	turn chan struct{} // closed by End; nil: nothing is kept back, see Begin
}

// NewLedger makes an empty ledger.
func NewLedger[K comparable, R row.Row[K]]() *Ledger[K, R] {
	return &Ledger[K, R]{
		want:   newKeyed(func(e *entry[R]) K { return e.row.Key() }),
		claims: map[Owner][]R{},
		dirty:  map[K]struct{}{},
		wake:   make(chan struct{}, 1),
	}
}

// Claim replaces everything that owner wants in this table. Keys that it wanted before and no longer
// names are released; a loser's claim to them stands again. Of several rows with one key the last counts.
func (l *Ledger[K, R]) Claim(owner Owner, rows ...R) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.claims[owner]
	if slices.Equal(old, rows) {
		return
	}
	keep := make(map[K]struct{}, len(rows))
	for _, r := range rows {
		keep[r.Key()] = struct{}{}
		l.put(owner, r)
	}
	for _, r := range old {
		if _, ok := keep[r.Key()]; !ok {
			l.drop(owner, r.Key())
		}
	}
	if len(rows) == 0 {
		delete(l.claims, owner)
	} else {
		l.claims[owner] = slices.Clip(slices.Clone(rows))
	}
	l.signal()
}

// put records that owner wants r.
func (l *Ledger[K, R]) put(owner Owner, r R) {
	k := r.Key()
	e, _ := l.want.get(k)
	switch {
	case e == nil:
		l.want.put(k, &entry[R]{row: r, owner: owner})
		l.dirty[k] = struct{}{}
	case e.owner == owner:
		if e.row != r {
			e.row = r
			l.settle(k, e, owner)
		}
	default:
		l.contend(k, e, owner, r)
	}
}

// contend adds or changes the claim of somebody who is not the winner so far.
func (l *Ledger[K, R]) contend(k K, e *entry[R], owner Owner, r R) {
	if e.others == nil {
		e.others = map[Owner]R{}
	}
	if was, ok := e.others[owner]; ok && was != e.row {
		e.differ--
	}
	e.others[owner] = r
	if r == e.row {
		return
	}
	e.differ++
	l.settle(k, e, e.owner)
}

// drop records that owner no longer wants the row at k.
func (l *Ledger[K, R]) drop(owner Owner, k K) {
	e, _ := l.want.get(k)
	if e == nil {
		return
	}
	if e.owner != owner {
		if was, ok := e.others[owner]; ok && was != e.row {
			e.differ--
			l.dirty[k] = struct{}{} // the row stays, and one conflict less is news to those who tell of them
		}
		delete(e.others, owner)
		return
	}
	for next, r := range e.others {
		if r != e.row {
			continue
		}
		// Somebody wants the very same row. Who of them stands for it matters only in a conflict.
		delete(e.others, next)
		e.owner = next
		if e.differ > 0 {
			l.settle(k, e, next)
		}
		return
	}
	l.inherit(k, e)
}

// inherit gives a key whose winner left to the best of the others, or to nobody.
func (l *Ledger[K, R]) inherit(k K, e *entry[R]) {
	l.dirty[k] = struct{}{}
	if len(e.others) == 0 {
		l.want.drop(k)
		return
	}
	first := Owner{}
	for o := range e.others {
		if first == (Owner{}) || o.Compare(first) < 0 {
			first = o
		}
	}
	e.owner, e.row = first, e.others[first]
	delete(e.others, first)
	e.recount()
}

// settle decides a conflict anew after the winner's row or the others changed.
func (l *Ledger[K, R]) settle(k K, e *entry[R], winner Owner) {
	l.dirty[k] = struct{}{}
	best := winner
	for o := range e.others {
		if o.Compare(best) < 0 {
			best = o
		}
	}
	if best != winner {
		e.others[winner] = e.row
		e.owner, e.row = best, e.others[best]
		delete(e.others, best)
	}
	e.recount()
}

func (e *entry[R]) recount() {
	e.differ = 0
	for _, r := range e.others {
		if any(r) != any(e.row) {
			e.differ++
		}
	}
}

func (l *Ledger[K, R]) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Wake receives when keys became dirty. One reader only.
func (l *Ledger[K, R]) Wake() <-chan struct{} { return l.wake }

// Take gives the keys whose wanted row may have changed since the last Take, and forgets them.
func (l *Ledger[K, R]) Take() map[K]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.dirty
	l.dirty = map[K]struct{}{} // a map never shrinks: a drained one is replaced
	return d
}

// take gives what is wanted at each key that may have changed since the last Take, and at each that is due: all at one moment, so that
// no row comes without the one that it names. Between Begin and End there is nothing to take, but a channel that End closes.
func (l *Ledger[K, R]) take(due []K) (list []row.Change[K, R], turn <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn != nil {
		return nil, l.turn
	}
	keys := l.dirty
	l.dirty = map[K]struct{}{}
	for _, k := range due {
		keys[k] = struct{}{}
	}
	list = make([]row.Change[K, R], 0, len(keys))
	for k := range keys {
		c := row.Change[K, R]{Key: k}
		if e, _ := l.want.get(k); e != nil {
			want := e.row
			c.New = &want
		}
		list = append(list, c)
	}
	return list, nil
}

// Want is the row wanted at k.
func (l *Ledger[K, R]) Want(k K) (r R, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, _ := l.want.get(k)
	if e == nil {
		return r, false
	}
	return e.row, true
}

// Owners are all who claim the key, the winner first.
func (l *Ledger[K, R]) Owners(k K) []Owner {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, _ := l.want.get(k)
	if e == nil {
		return nil
	}
	rest := make([]Owner, 0, len(e.others))
	for o := range e.others {
		rest = append(rest, o)
	}
	slices.SortFunc(rest, Owner.Compare)
	return append([]Owner{e.owner}, rest...)
}

// Claims are the rows that an owner wants, whether they won or not.
func (l *Ledger[K, R]) Claims(owner Owner) []R {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.claims[owner])
}

// All calls yield for every wanted row until it says false. The ledger is locked meanwhile.
func (l *Ledger[K, R]) All(yield func(K, R) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range l.want.all() {
		if !yield(k, e.row) {
			return
		}
	}
}

// Len is the number of rows wanted.
func (l *Ledger[K, R]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want.len()
}
