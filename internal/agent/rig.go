package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kube-router/internal/config"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/stage"
	"kube-router/internal/think"
	"kube-router/internal/view"
)

// Rig is the daemon without its sources and without its voice: planners, ledgers and lanes as Run has them,
// over targets of the caller's choice. What the sources would report is put into the Inbox. Tests run it on
// fakes.
type Rig struct {
	Inbox *think.Inbox
	agent *agent
	whole atomic.Bool
}

// NewRig assembles a daemon over targets; Run starts it.
func NewRig(o *config.Options, to Targets, log *slog.Logger) *Rig {
	a := &agent{o: o, log: log, inbox: think.NewInbox(), tables: newTables(log)}
	a.open(to)
	r := &Rig{Inbox: a.inbox, agent: a}
	if o.Settings.Balancer && to.Balancer != nil {
		a.allocator = &allocator{plan: stage.Balancer{Addresses: open(a.tables, addressTable, to.Balancer, &o.Settings)}}
	}
	a.thinker = think.New(model.New(o.Settings), a.inbox, a.stages(), think.Hooks{
		Synced: func(*model.Model) bool { return r.whole.Load() },
		Begin:  a.network.Begin, Settle: a.decided, Failed: planFailed(log),
	})
	return r
}

// Run thinks and writes until ctx ends.
func (r *Rig) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.agent.thinker.Run(ctx) })
	g.Go(func() error { return r.agent.act(ctx) })
	return g.Wait()
}

// Whole says that the first whole picture is in the Inbox.
func (r *Rig) Whole() {
	r.whole.Store(true)
	r.Inbox.Nudge()
}

// Started is closed when the first plan is complete.
func (r *Rig) Started() <-chan struct{} { return r.agent.thinker.Started() }

// Together runs f while the thinking goroutine waits, so that all that f puts into the Inbox is one batch.
func (r *Rig) Together(ctx context.Context, f func()) error {
	return r.agent.thinker.Query(ctx, func(*model.Model) { f() })
}

// Kick makes every table be read again, as the kernel's notifications do.
func (r *Rig) Kick() {
	for _, t := range r.agent.tables.all() {
		t.lane.Kick()
	}
}

// Tables describes every table, in the order in which they are built up.
func (r *Rig) Tables() []reconcile.Status { return r.agent.tables.statuses() }

// Asked is what views may ask of this daemon.
func (r *Rig) Asked() *view.Daemon { return r.agent.asked() }

// Lines are the rows of one table, wanted or there.
func (r *Rig) Lines(table string) []reconcile.Line {
	return r.agent.tables.lines(table)
}

// Remarks are all remarks, sorted.
func (r *Rig) Remarks(ctx context.Context) ([]model.Remark, error) { return r.Asked().Remarks(ctx) }

// Intents prints what Services are wanted to do, sorted.
func (r *Rig) Intents() []string {
	var list []string
	for _, s := range r.agent.network.Services.Intents.All {
		list = append(list, fmt.Sprint(s))
	}
	slices.Sort(list)
	return list
}

// Clear makes targets hold nothing of ours.
func Clear(ctx context.Context, to Targets, log *slog.Logger) error {
	t := newTables(log)
	openTables(t, to, &model.Settings{})
	return t.empty(ctx)
}

// empty runs every lane until its table holds nothing. Rules go before what they lean on, so the tables are
// emptied in the reverse of their order. One that can't be emptied keeps none of the others.
func (t *tables) empty(ctx context.Context) error {
	var all []error
	for _, e := range slices.Backward(t.all()) {
		if err := empty(ctx, e); err != nil {
			all = append(all, fmt.Errorf("clean up %s: %w", e.name, err))
			continue
		}
		t.log.Info("clean", "table", e.name)
	}
	return errors.Join(all...)
}
