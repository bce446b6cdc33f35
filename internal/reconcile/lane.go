package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kube-router/internal/row"
)

// Pace is how patient a lane is.
type Pace struct {
	First time.Duration // before the first retry of a failing row; doubles with every further one
	Most  time.Duration // the longest wait between retries
	Look  time.Duration // between two looks at the whole table without any cause; 0: never
	Quiet time.Duration // between two looks at the whole table caused by Kick: a storm costs no more
}

// DefaultPace retries after 50 ms to 30 s and looks at the whole table every five minutes.
var DefaultPace = Pace{First: 50 * time.Millisecond, Most: 30 * time.Second, Look: 5 * time.Minute, Quiet: 200 * time.Millisecond}

// Lane makes one table of the outside world agree with its ledger.
//
// It keeps what the table has: from Dump, then from its own successes. A step computes the changes of the
// touched keys alone. The whole table is read again at the start, after an error that is not about certain
// rows, when Kick says that somebody else changed it, and on a slow timer. Repairing drift, recovering from
// a crash and taking an update are all the same code.
type Lane[K comparable, R row.Row[K]] struct {
	name   string
	ledger *Ledger[K, R]
	target row.Target[K, R]
	pace   Pace
	log    *slog.Logger
	kick   chan struct{}

	mu      sync.Mutex
	have    *keyed[K, R] // nil: not read yet
	failing map[K]*failure
	waiting map[K]time.Time // rows whose removal takes time, and when to ask again
	broken  failure         // of the whole table
	told    time.Time       // when rows that others changed were last told of
	stats   Stats
	notify  func()
	stepped chan struct{} // closed and replaced after every step
}

type failure struct {
	err      error
	since    time.Time
	attempts int
	next     time.Time
}

// NewLane makes a lane; it does nothing before Run.
func NewLane[K comparable, R row.Row[K]](name string, l *Ledger[K, R], t row.Target[K, R], p Pace, log *slog.Logger) *Lane[K, R] {
	return &Lane[K, R]{
		name: name, ledger: l, target: t, pace: p, log: log.With("table", name),
		kick: make(chan struct{}, 1), failing: map[K]*failure{}, waiting: map[K]time.Time{},
		notify: func() {}, stepped: make(chan struct{}),
	}
}

// OnStep sets a function that is called after every step, from the lane's goroutine. Set it before Run.
func (l *Lane[K, R]) OnStep(f func()) { l.notify = f }

// Kick says that somebody else changed the table: it is read again soon. Safe from any goroutine.
func (l *Lane[K, R]) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Run reconciles until ctx ends, and leaves the table as it is then.
func (l *Lane[K, R]) Run(ctx context.Context) error {
	look, looked := true, time.Time{}
	for {
		if look {
			looked = time.Now()
			look = !l.look(ctx)
		}
		if !look {
			look = !l.step(ctx)
		}
		l.tell()
		l.notify()
		if ctx.Err() != nil {
			return nil
		}
		wait := l.pause(look, looked)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.ledger.Wake():
			// A table that can't be read or written at all keeps its back-off; changes stay dirty.
			if look {
				sleep(ctx, l.untilRetry())
			}
		case <-l.kick:
			sleep(ctx, l.pace.Quiet-time.Since(looked))
			look = true
		case <-timer.C:
			look = look || l.pace.Look > 0 && time.Since(looked) >= l.pace.Look
		}
		timer.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// look reads the whole table and marks every difference for the next step.
func (l *Lane[K, R]) look(ctx context.Context) bool {
	have, err := l.target.Dump(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Looks++
	if err != nil {
		l.breakdown(ctx, err)
		return false
	}
	l.drift(have)
	l.have = newKeyed(R.Key)
	for k, r := range have {
		l.have.put(k, r)
	}
	l.ledger.touch(have, l.rests)
	return true
}

// tellDrift is how often at most rows that others change are told of: two programs that fight don't fill the log.
const tellDrift = time.Minute

// drift notes rows that stood as wanted and that a look finds gone or different.
func (l *Lane[K, R]) drift(now map[K]R) {
	if l.broken.err != nil {
		return // half of a failed change may be there
	}
	var lost []K
	for k, was := range l.have.all() {
		want, wanted := l.ledger.Want(k)
		if r, there := now[k]; wanted && was == want && (!there || r != want) && !l.rests(k) {
			lost = append(lost, k)
		}
	}
	l.stats.Drifted += uint64(len(lost))
	if len(lost) == 0 || !l.told.IsZero() && time.Since(l.told) < tellDrift {
		return
	}
	l.told = time.Now()
	one, _ := l.have.get(lost[0])
	l.log.Warn("rows of ours were changed or removed by others, or went with what they depend on; they are made again",
		"rows", len(lost), "one of them", one.String())
}

// rests tells whether a row has its own time of retry, which a look must not shorten.
func (l *Lane[K, R]) rests(k K) bool {
	_, slow := l.waiting[k]
	return slow || l.failing[k] != nil
}

// step applies the changes of all keys that are dirty or due, once no turn goes on. It reports whether the table is known still.
func (l *Lane[K, R]) step(ctx context.Context) bool {
	changes, turn := l.changes(time.Now())
	for turn != nil {
		select {
		case <-turn:
			changes, turn = l.changes(time.Now())
		case <-ctx.Done():
			return true
		}
	}
	if len(changes) == 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.agreed()
		return true
	}
	start := time.Now()
	err := l.target.Apply(ctx, changes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.took(time.Since(start))
	if err != nil && ctx.Err() != nil {
		return true // cut short by the end of the daemon: nobody's fault
	}
	var failed row.Failed[K]
	if err != nil && !errors.As(err, &failed) {
		for _, c := range changes {
			l.ledger.mark(c.Key)
		}
		l.breakdown(ctx, err)
		return false
	}
	now := time.Now() // one for all: what was tried together is tried together again
	for _, c := range changes {
		l.settle(c, failed[c.Key], now)
	}
	l.agreed()
	return true
}

// changes lists what differs between want and have among the keys that are dirty or due; while a turn goes on it is
// what tells when that ends.
func (l *Lane[K, R]) changes(now time.Time) (list []row.Change[K, R], turn <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, turn := l.ledger.take(l.due(now))
	list = all[:0]
	for _, c := range all {
		if have, ok := l.have.get(c.Key); ok {
			c.Old = &have
		}
		if l.differs(c) {
			list = append(list, c)
			continue
		}
		l.forget(c.Key)
	}
	return list, turn
}

// due are the keys whose time to be tried again has come.
func (l *Lane[K, R]) due(now time.Time) (keys []K) {
	for k, f := range l.failing {
		if !now.Before(f.next) {
			keys = append(keys, k)
		}
	}
	for k, at := range l.waiting {
		if !now.Before(at) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (l *Lane[K, R]) differs(c row.Change[K, R]) bool {
	if c.Old == nil || c.New == nil {
		return c.Old != c.New
	}
	// A row whose slow removal has begun is not what it was, even if it is wanted again unchanged.
	_, slow := l.waiting[c.Key]
	return slow || *c.Old != *c.New
}

// settle records how the change of one row went.
func (l *Lane[K, R]) settle(c row.Change[K, R], err error, now time.Time) {
	if later := (row.Later{}); errors.As(err, &later) {
		l.waiting[c.Key] = now.Add(time.Second)
		delete(l.failing, c.Key)
		return
	}
	if err != nil {
		l.fail(c, err, now)
		return
	}
	l.forget(c.Key)
	l.stats.Changes++
	if c.New == nil {
		l.have.drop(c.Key)
	} else {
		l.have.put(c.Key, *c.New)
	}
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("changed", "change", c.String())
	}
}

func (l *Lane[K, R]) fail(c row.Change[K, R], err error, now time.Time) {
	f := l.failing[c.Key]
	if f == nil {
		f = &failure{since: now}
		l.failing[c.Key] = f
		l.log.Warn("row fails", "change", c.String(), "error", err)
	}
	l.push(f, err, now)
}

// push counts one more failure and decides when to try again.
func (l *Lane[K, R]) push(f *failure, err error, now time.Time) {
	f.err = err
	wait := min(l.pace.First<<min(f.attempts, 20), l.pace.Most)
	f.attempts++
	f.next = now.Add(wait)
	l.stats.Failures++
}

func (l *Lane[K, R]) forget(k K) {
	delete(l.waiting, k)
	if f, ok := l.failing[k]; ok {
		delete(l.failing, k)
		l.log.Info("row works again", "row", k, "after", time.Since(f.since).Round(time.Millisecond))
	}
}

// breakdown records that the whole table could not be read or written.
func (l *Lane[K, R]) breakdown(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if l.broken.err == nil {
		l.broken = failure{since: time.Now()}
		l.log.Warn("table fails", "error", err)
	}
	l.push(&l.broken, err, time.Now())
}

// agreed records that the table agrees with the ledger, but for rows that fail.
func (l *Lane[K, R]) agreed() {
	l.stats.Steps++
	if l.broken.err != nil {
		l.log.Info("table works again", "after", time.Since(l.broken.since).Round(time.Millisecond))
		l.broken = failure{}
	}
}

func (l *Lane[K, R]) untilRetry() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.broken.next)
}

// pause is how long nothing is to be done unless somebody calls.
func (l *Lane[K, R]) pause(look bool, looked time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := time.Now().Add(time.Hour)
	if l.pace.Look > 0 {
		next = looked.Add(l.pace.Look)
	}
	if look {
		// Rows whose time has come wait as well: nothing can be done for them before the table works again.
		return max(time.Until(l.broken.next), 0)
	}
	for _, f := range l.failing {
		next = earlier(next, f.next)
	}
	for _, at := range l.waiting {
		next = earlier(next, at)
	}
	return max(time.Until(next), 0)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
