package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"kube-router/internal/row"
)

// Stats are the counters of a lane since its start.
type Stats struct {
	Steps    uint64        // times that want and have were made to agree
	Looks    uint64        // times that the whole table was read
	Changes  uint64        // rows changed
	Failures uint64        // changes that failed
	Drifted  uint64        // rows that stood and that a look found gone or different
	Busy     time.Duration // spent in Apply
	Last     time.Duration // the latest Apply
	Applies  uint64        // calls of Apply
	Took     [len(Buckets) + 1]uint64
}

// Buckets are the upper bounds of the histogram Stats.Took; its last element counts what took longer.
var Buckets = [...]time.Duration{
	100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond,
	30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
}

func (s *Stats) took(d time.Duration) {
	s.Applies++
	s.Busy += d
	s.Last = d
	i, _ := slices.BinarySearch(Buckets[:], d)
	s.Took[i]++
}

// Failing is a row that could not be made so.
type Failing struct {
	Row      string // the row wanted, or the key of a row to be removed
	Owner    string
	Error    string
	Since    time.Time
	Attempts int
	Foreign  bool // by something that no restart of the daemon changes, such as row.Foreign
	Taken    bool // somebody else's stands in its place: row.Foreign.Taken
}

// Status is a lane's state as `kube-router show` and the health check need it.
type Status struct {
	Table   string
	Want    int
	Have    int
	Known   bool // the table was read at least once
	Broken  string
	Since   time.Time // of Broken
	Foreign bool      // Broken by something that no restart of the daemon changes
	Failing []Failing // sorted by row
	Waiting int       // rows whose removal takes time
	Dirty   int       // keys not yet looked at
	Stats   Stats
}

// Settled tells whether everything wanted is there and nothing else.
func (s Status) Settled() bool {
	return s.Known && s.Broken == "" && len(s.Failing) == 0 && s.Dirty == 0
}

// Status describes the lane now. Safe from any goroutine.
func (l *Lane[K, R]) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Table: l.name, Want: l.ledger.Len(), Have: l.have.len(), Known: l.have != nil,
		Waiting: len(l.waiting), Dirty: l.ledger.dirtyLen(), Stats: l.stats,
	}
	if l.broken.err != nil {
		s.Broken, s.Since, s.Foreign = l.broken.err.Error(), l.broken.since, outside(l.broken.err)
	}
	for k, f := range l.failing {
		s.Failing = append(s.Failing, l.describe(k, f))
	}
	slices.SortFunc(s.Failing, func(a, b Failing) int { return cmp.Compare(a.Row, b.Row) })
	return s
}

func (l *Lane[K, R]) describe(k K, f *failure) Failing {
	d := Failing{Row: fmt.Sprint(k), Error: f.err.Error(), Since: f.since, Attempts: f.attempts}
	d.Foreign = outside(f.err)
	var other row.Foreign
	d.Taken = errors.As(f.err, &other) && other.Taken
	if r, ok := l.ledger.Want(k); ok {
		d.Row = r.String()
		d.Owner = l.ledger.Owners(k)[0].Name
	}
	return d
}

// Line is one row of a table as `kube-router show` prints it.
type Line struct {
	Row     string
	Owners  []string
	Have    bool   // it stands in the outside world as wanted
	Foreign bool   // it stands there and nobody wants it
	Error   string // why it does not stand
}

// Lines lists the rows wanted and the rows there, sorted by text. Safe from any goroutine.
func (l *Lane[K, R]) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := map[K]struct{}{}
	for k := range l.have.all() {
		keys[k] = struct{}{}
	}
	for k := range l.ledger.All {
		keys[k] = struct{}{}
	}
	lines := make([]Line, 0, len(keys))
	for k := range keys {
		lines = append(lines, l.line(k))
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Row, b.Row) })
	return lines
}

func (l *Lane[K, R]) line(k K) Line {
	have, there := l.have.get(k)
	want, wanted := l.ledger.Want(k)
	line := Line{Have: there && wanted && have == want, Foreign: !wanted}
	if wanted {
		line.Row = want.String()
		for _, o := range l.ledger.Owners(k) {
			line.Owners = append(line.Owners, o.Name)
		}
	} else {
		line.Row = have.String()
	}
	if f := l.failing[k]; f != nil {
		line.Error = f.err.Error()
	}
	return line
}

// mark makes a key dirty.
func (l *Ledger[K, R]) mark(k K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirty[k] = struct{}{}
}

// touch makes every key dirty at which want and have differ, but for those that rest until a retry.
func (l *Ledger[K, R]) touch(have map[K]R, rests func(K) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, r := range have {
		if e, _ := l.want.get(k); (e == nil || e.row != r) && !rests(k) {
			l.dirty[k] = struct{}{}
		}
	}
	for k := range l.want.all() {
		if _, ok := have[k]; !ok && !rests(k) {
			l.dirty[k] = struct{}{}
		}
	}
}

func (l *Ledger[K, R]) dirtyLen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dirty)
}
