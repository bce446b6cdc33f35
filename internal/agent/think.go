package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"kube-router/internal/model"
)

// everything is the unit that stands for a whole stage.
var everything = model.Ref{}

// stage is one planner in the thinking loop. A unit is what it can plan anew by itself: a Service, a
// policy, or the whole stage.
type stage struct {
	name  string
	units func(*model.Model) []model.Ref               // all units; nil: the stage has but one
	plan  func(*model.Model, model.Ref) []model.Remark // claims the unit's intents; none when its object is gone
	note  func(change, func(model.Ref))                // keeps the stage's index and tells what it touches; may be nil

	// parts: a turn plans no more of its units than its time allows, the others in turns that follow. Each unit's claims hold by themselves.
	parts bool
	rank  func(model.Ref) int // the order of units, see queue; nil: any
	more  func() []model.Ref  // units that planning touched; may be nil
}

// thinker is the one goroutine that holds the model. Others reach it through the inbox and Ask.
type thinker struct {
	inbox   *Inbox
	model   *model.Model
	stages  []stage
	synced  func() bool                                             // every source has given its first whole picture
	begin   func()                                                  // before a turn's plans
	settle  func()                                                  // after a turn: carry intents on to rows
	said    func(stage string, unit model.Ref, list []model.Remark) // hears the remarks of every plan
	started chan struct{}
	ask     chan func(*model.Model)
	turn    atomic.Int64 // when the present turn began, Unix nanoseconds; 0: idle
	news    news         // collected, and not in the model yet
	queues  map[string]*queue
	panics  atomic.Uint64
	failed  func(stage string, unit model.Ref, what string, stack []byte) // hears of a panic in planning a unit

	mu      sync.Mutex
	remarks map[string]map[model.Ref][]model.Remark // by stage and unit
}

func newThinker(m *model.Model, inbox *Inbox, stages []stage) *thinker {
	return &thinker{
		inbox: inbox, model: m, stages: stages,
		started: make(chan struct{}), ask: make(chan func(*model.Model)),
		remarks: map[string]map[model.Ref][]model.Remark{},
		news:    emptyNews(), queues: newQueues(stages),
		failed: func(string, model.Ref, string, []byte) {},
		begin:  func() {},
		settle: func() {},
		said:   func(string, model.Ref, []model.Remark) {},
	}
}

// Run thinks until ctx ends.
func (t *thinker) Run(ctx context.Context) error {
	first, more := true, false
	for {
		if !t.wait(ctx, more) {
			return nil
		}
		t.turn.Store(time.Now().UnixNano())
		switch {
		case !first:
			more = t.once()
		default:
			t.noteAll(t.take(never))
			if !t.synced() {
				break
			}
			// What arrived together with the last first picture is in the model already.
			t.noteAll(t.take(never))
			t.planAll()
			first = false
			close(t.started)
		}
		t.turn.Store(0)
	}
}

// wait answers who asks, until there is something to think about; false: it is over.
func (t *thinker) wait(ctx context.Context, more bool) bool {
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
	if due := t.due(); !due.IsZero() {
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

// busy is how long the present turn has taken.
func (t *thinker) busy() time.Duration {
	began := t.turn.Load()
	if began == 0 {
		return 0
	}
	return time.Since(time.Unix(0, began))
}

// query runs f in the thinking goroutine, where the model may be read, and waits for it.
func (t *thinker) query(ctx context.Context, f func(*model.Model)) error {
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
func (t *thinker) noteAll(changes []change) {
	for _, c := range changes {
		for _, s := range t.stages {
			t.contain(s.name, c.ref, func() {
				if s.note != nil {
					s.note(c, func(model.Ref) {})
				}
			})
		}
	}
}

func (t *thinker) planAll() {
	t.begin()
	for _, s := range t.stages {
		t.queues[s.name].add(everything)
		t.planStage(s, never)
	}
	t.settle()
}

func (t *thinker) remark(stage string, u model.Ref, list []model.Remark) {
	t.said(stage, u, list)
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

// allRemarks are the remarks of all stages, in no order.
func (t *thinker) allRemarks() []model.Remark {
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
