package agent

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

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
	name  string
	lane  lane
	watch func(context.Context, func()) error // nil: nobody tells; the slow timer finds out
	aside bool                                // neither readiness nor health waits for it
}

// tables are all tables of the daemon, in the order in which they were opened.
type tables struct {
	list []table
	log  *slog.Logger
}

// open makes the ledger and the lane of a target.
func open[K comparable, R row.Row[K]](t *tables, name string, target row.Target[K, R], pace reconcile.Pace) *reconcile.Ledger[K, R] {
	ledger := reconcile.NewLedger[K, R]()
	entry := table{name: name, lane: reconcile.NewLane(name, ledger, target, pace, t.log)}
	if w, ok := target.(watcher); ok {
		entry.watch = w.Watch
	}
	t.list = append(t.list, entry)
	return ledger
}

// openAside opens a table that the node's network doesn't depend on.
func openAside[K comparable, R row.Row[K]](t *tables, name string, target row.Target[K, R], pace reconcile.Pace) *reconcile.Ledger[K, R] {
	ledger := open(t, name, target, pace)
	t.list[len(t.list)-1].aside = true
	return ledger
}

// run runs every lane until ctx ends, and the watchers beside them.
func (t *tables) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range t.list {
		g.Go(func() error { return e.lane.Run(ctx) })
		if e.watch != nil {
			g.Go(func() error { return t.follow(ctx, e) })
		}
	}
	return g.Wait()
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
	list := make([]reconcile.Status, len(t.list))
	for i, e := range t.list {
		list[i] = e.lane.Status()
	}
	return list
}

// vital describes the tables that the node's network depends on.
func (t *tables) vital() []reconcile.Status {
	var list []reconcile.Status
	for _, e := range t.list {
		if !e.aside {
			list = append(list, e.lane.Status())
		}
	}
	return list
}

// named finds a table.
func (t *tables) named(name string) (table, bool) {
	for _, e := range t.list {
		if e.name == name {
			return e, true
		}
	}
	return table{}, false
}

// names are the tables' names.
func (t *tables) names() []string {
	list := make([]string, len(t.list))
	for i, e := range t.list {
		list[i] = e.name
	}
	return list
}
