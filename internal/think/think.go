package think

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"kube-router/internal/model"
)

// Thinker is the one goroutine that holds the model. Others reach it through the inbox and Query.
type Thinker struct {
	inbox   *Inbox
	model   *model.Model
	stages  []Stage
	hooks   Hooks
	started chan struct{}
	ask     chan func(*model.Model)
	turn    atomic.Int64 // when the present turn began, Unix nanoseconds; 0: idle
	news    news         // collected, and not in the model yet
	queues  map[ID]*queue
	panics  atomic.Uint64

	mu      sync.Mutex
	remarks map[ID]map[model.Ref][]model.Remark // by stage and unit
}

// New makes a thinker that starts with a model and takes news from an inbox. A turn runs the stages in their order.
func New(m *model.Model, inbox *Inbox, stages []Stage, hooks Hooks) *Thinker {
	hooks.fill()
	return &Thinker{
		inbox: inbox, model: m, stages: stages, hooks: hooks,
		started: make(chan struct{}), ask: make(chan func(*model.Model)),
		remarks: map[ID]map[model.Ref][]model.Remark{},
		news:    emptyNews(), queues: newQueues(stages),
	}
}

// Run thinks until ctx ends.
func (t *Thinker) Run(ctx context.Context) error {
	first, more := true, false
	for {
		if !t.wait(ctx, more) {
			return nil
		}
		t.turn.Store(time.Now().UnixNano())
		switch {
		case !first:
			more = t.Once()
		default:
			t.noteAll(t.take(never))
			if !t.hooks.Synced(t.model) {
				break
			}
			// What arrived together with the last first picture is in the model already.
			t.noteAll(t.take(never))
			t.PlanAll()
			first = false
			close(t.started)
		}
		t.turn.Store(0)
	}
}

// wait answers who asks, until there is something to think about; false: it is over.
func (t *Thinker) wait(ctx context.Context, more bool) bool {
	if more {
		select {
		case <-ctx.Done():
			return false
		case f := <-t.ask:
			f(t.model)
		default:
		}
		return true
	}
	until, cancel := ctx, func() {}
	if due := t.Due(); !due.IsZero() {
		until, cancel = context.WithDeadline(ctx, due)
	}
	defer cancel()
	for {
		select {
		case <-until.Done():
			return ctx.Err() == nil
		case f := <-t.ask:
			f(t.model)
		case <-t.inbox.wake:
			return true
		}
	}
}

// Started is closed when the first whole picture has been planned.
func (t *Thinker) Started() <-chan struct{} { return t.started }

// Panics is how many times planning a unit has panicked.
func (t *Thinker) Panics() uint64 { return t.panics.Load() }

// Busy is how long the present turn has taken; 0: it waits for news.
func (t *Thinker) Busy() time.Duration {
	began := t.turn.Load()
	if began == 0 {
		return 0
	}
	return time.Since(time.Unix(0, began))
}

// Query runs f in the thinking goroutine, where the model may be read, and waits for it.
func (t *Thinker) Query(ctx context.Context, f func(*model.Model)) error {
	done := make(chan struct{})
	select {
	case t.ask <- func(m *model.Model) { f(m); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteAll lets the stages keep their indexes while the first picture is still coming in.
func (t *Thinker) noteAll(changes []Change) {
	for _, c := range changes {
		for _, s := range t.stages {
			t.Contain(s.ID, c.Ref, func() {
				if s.Note != nil {
					s.Note(c, func(model.Ref) {})
				}
			})
		}
		t.hear(c)
	}
}

// hear tells everybody else of a change.
func (t *Thinker) hear(c Change) {
	for _, f := range t.hooks.Heard {
		t.Contain("hearing", c.Ref, func() { f(c) })
	}
}

// PlanAll plans every unit of every stage, as after the first whole picture.
func (t *Thinker) PlanAll() {
	t.hooks.Begin()
	for _, s := range t.stages {
		t.queues[s.ID].add(Everything)
		t.planStage(s, never)
	}
	t.hooks.Settle(t.model)
}

func (t *Thinker) remark(stage ID, u model.Ref, list []model.Remark) {
	t.hooks.Said(stage, u, list)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(list) == 0 {
		delete(t.remarks[stage], u)
		return
	}
	if t.remarks[stage] == nil {
		t.remarks[stage] = map[model.Ref][]model.Remark{}
	}
	t.remarks[stage][u] = list
}

// Remarks are the remarks of all stages, in no order.
func (t *Thinker) Remarks() []model.Remark {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []model.Remark
	for _, units := range t.remarks {
		for _, list := range units {
			all = append(all, list...)
		}
	}
	return all
}
