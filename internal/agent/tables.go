package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// lane is what the agent needs of a reconcile.Lane, whatever its rows are.
type lane interface {
	Run(context.Context) error
	Kick()
	Status() reconcile.Status
	Lines() []reconcile.Line
	OnStep(func())
}

// watcher is a target that hears when others change its table.
type watcher interface {
	Watch(ctx context.Context, changed func()) error
}

// table is one lane with what belongs to it.
type table struct {
	*kind
	lane  lane
	watch func(context.Context, func()) error // nil: nobody tells; the slow timer finds out
	last  bool                                // it is being left: what replaces it comes first
	count func(context.Context) (int, error)  // how many rows of ours are there
	tried chan struct{}                       // closed when it stands as wanted, or has been tried often enough
}

// tables are all tables of the daemon, in the order in which they were opened.
type tables struct {
	log     *slog.Logger
	onStep  func(table)   // hears every step, in the lane's goroutine; may be nil
	placed  chan struct{} // closed when every table has been written once: what was held may go
	settled chan struct{} // closed when all that is vital first stands as wanted

	mu   sync.Mutex
	list []table
}

func newTables(log *slog.Logger) *tables {
	return &tables{log: log, placed: make(chan struct{}), settled: make(chan struct{})}
}

// open makes the ledger and the lane of a target.
func open[K comparable, R row.Row[K]](t *tables, k *kind, target row.Target[K, R], s *model.Settings) *reconcile.Ledger[K, R] {
	ledger := reconcile.NewLedger[K, R]()
	entry := table{kind: k, lane: reconcile.NewLane(k.name, ledger, target, k.pace(s), t.log), tried: make(chan struct{})}
	entry.count = func(ctx context.Context) (int, error) {
		rows, err := target.Dump(ctx)
		return len(rows), err
	}
	if w, ok := target.(watcher); ok {
		entry.watch = w.Watch
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, entry)
	return ledger
}

// all are the tables now.
func (t *tables) all() []table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

// run runs every lane until ctx ends, and the watchers beside them. They start in waves: links and virtual
// servers; then rules, settings and the rest; then what invites pods. Once a wave stands, or what fails of it has been
// tried often enough, the next one starts; after the last what was held may be removed.
func (t *tables) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for wave := range waves {
		var begun []table
		for _, e := range t.all() {
			if e.begins() == wave {
				begun = append(begun, e)
				steps := 0 // in the lane's goroutine
				e.lane.OnStep(func() { steps++; t.stepped(e, steps) })
				g.Go(func() error { return e.lane.Run(ctx) })
				if e.watch != nil {
					g.Go(func() error { return t.follow(ctx, e) })
				}
			}
		}
		for _, e := range begun {
			if e.aside {
				continue
			}
			select {
			case <-e.tried:
			case <-ctx.Done():
			}
		}
	}
	close(t.placed)
	return g.Wait()
}

// begins is the wave in which a table starts.
func (e table) begins() int {
	if e.last {
		return invitations
	}
	return e.wave
}

// tries are the steps after which a table doesn't hold up those that come after it any more, whatever of it fails: with
// the retries of reconcile.DefaultPace a second and a half. A row that can't be written must not keep the node waiting.
const tries = 6

// stepped notes a step of a table.
func (t *tables) stepped(e table, steps int) {
	select {
	case <-e.tried:
	default:
		if steps >= tries || e.lane.Status().Settled() {
			close(e.tried)
		}
	}
	if t.onStep != nil {
		t.onStep(e)
	}
}

// follow hears others' changes for as long as the kernel tells them. When it stops telling, the table is
// still read on the slow timer, so that is no reason to end.
func (t *tables) follow(ctx context.Context, e table) error {
	if err := e.watch(ctx, e.lane.Kick); err != nil && ctx.Err() == nil {
		t.log.Warn("the kernel's notifications ended; others' changes are found by the slow timer", "table", e.name, "error", err)
	}
	return nil
}

// statuses describes every table.
func (t *tables) statuses() []reconcile.Status {
	all := t.all()
	list := make([]reconcile.Status, len(all))
	for i, e := range all {
		list[i] = e.lane.Status()
	}
	return list
}

// vital describes the tables that the node's network depends on.
func (t *tables) vital() []reconcile.Status {
	var list []reconcile.Status
	for _, e := range t.all() {
		if !e.aside {
			list = append(list, e.lane.Status())
		}
	}
	return list
}

// of finds the table of a kind.
func (t *tables) of(k *kind) (table, bool) {
	for _, e := range t.all() {
		if e.kind == k {
			return e, true
		}
	}
	return table{}, false
}

// serving finds the table that holds the frontends of an engine, and of no other.
func (t *tables) serving(e model.Engine) (table, bool) {
	for _, o := range t.all() {
		if o.serves != "" && o.serves == e {
			return o, true
		}
	}
	return table{}, false
}

// named finds the table that somebody calls by its name.
func (t *tables) named(name string) (table, bool) {
	for _, e := range t.all() {
		if e.name == name {
			return e, true
		}
	}
	return table{}, false
}
