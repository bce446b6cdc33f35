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

	mu      sync.Mutex
	remarks map[string]map[model.Ref][]model.Remark // by stage and unit
}

func newThinker(m *model.Model, inbox *Inbox, stages []stage) *thinker {
	return &thinker{
		inbox: inbox, model: m, stages: stages,
		started: make(chan struct{}), ask: make(chan func(*model.Model)),
		remarks: map[string]map[model.Ref][]model.Remark{},
		begin:   func() {},
		settle:  func() {},
		said:    func(string, model.Ref, []model.Remark) {},
	}
}

// Run thinks until ctx ends.
func (t *thinker) Run(ctx context.Context) error {
	first := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-t.ask:
			f(t.model)
			continue
		case <-t.inbox.wake:
		}
		t.turn.Store(time.Now().UnixNano())
		changes := t.inbox.collect().apply(t.model)
		switch {
		case !first:
			t.think(changes)
		case t.synced():
			// What arrived together with the last first picture is in the model already.
			t.noteAll(changes)
			t.noteAll(t.inbox.collect().apply(t.model))
			t.planAll()
			first = false
			close(t.started)
		default:
			t.noteAll(changes)
		}
		t.turn.Store(0)
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

// work is what a turn has to plan: units by stage.
type work map[string]map[model.Ref]bool

func (w work) add(stage string, unit model.Ref) {
	if w[stage] == nil {
		w[stage] = map[model.Ref]bool{}
	}
	w[stage][unit] = true
}

// think plans what the changes touch.
func (t *thinker) think(changes []change) {
	if len(changes) == 0 {
		return
	}
	w := work{}
	for _, c := range changes {
		t.touch(c, w)
	}
	t.begin()
	for _, s := range t.stages {
		units := w[s.name]
		if units[everything] && s.units != nil {
			// What went in this turn is no unit of the stage any more, and must be planned for its claims to go.
			for _, u := range s.units(t.model) {
				units[u] = true
			}
			delete(units, everything)
		}
		for u := range units {
			t.planUnit(s, u)
		}
	}
	t.settle()
}

// touch finds by the change table what a change makes us plan anew.
func (t *thinker) touch(c change, w work) {
	for _, s := range t.stages {
		add := func(u model.Ref) { w.add(s.name, u) }
		if s.note != nil {
			s.note(c, add)
		}
		if f := flow[c.ref.Kind][s.name]; f != nil {
			f(t.model, c, add)
		}
	}
}

// noteAll lets the stages keep their indexes while the first picture is still coming in.
func (t *thinker) noteAll(changes []change) {
	for _, c := range changes {
		for _, s := range t.stages {
			if s.note != nil {
				s.note(c, func(model.Ref) {})
			}
		}
	}
}

func (t *thinker) planAll() {
	t.begin()
	for _, s := range t.stages {
		t.planStage(s)
	}
	t.settle()
}

// planStage plans every unit of a stage.
func (t *thinker) planStage(s stage) {
	if s.units == nil {
		t.planUnit(s, everything)
		return
	}
	for _, u := range s.units(t.model) {
		t.planUnit(s, u)
	}
}

func (t *thinker) planUnit(s stage, u model.Ref) {
	t.remark(s.name, u, s.plan(t.model, u))
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
