package think

import (
	"fmt"
	"runtime/debug"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
)

// The bounds of a turn of thinking, so that one tenant's load keeps nobody else's change waiting: news that come in a flood and units
// that a change touches by the thousand are taken in parts, and what arrives meanwhile goes between them. One unit is never
// cut. A turn takes up to noteTime, and planTime for each stage that works in parts. A unit that takes more than heavy rests for
// restTimes as long before it is planned anew, and mostRest at most.
const (
	noteTime  = 5 * time.Millisecond
	planTime  = 8 * time.Millisecond
	heavy     = 2 * time.Millisecond
	restTimes = 4
	mostRest  = time.Second
)

// spent tells whether the time of a part is over.
type spent func() bool

func never() bool { return false }

func within(d time.Duration) spent {
	end := time.Now().Add(d)
	return func() bool { return !time.Now().Before(end) }
}

func newQueues(stages []Stage) map[ID]*queue {
	all := map[ID]*queue{}
	for _, s := range stages {
		all[s.ID] = &queue{kinds: s.Kinds, rank: s.Rank}
	}
	return all
}

// Once is one turn: what news there are, and what waits to be planned, as far as its time goes. It tells whether more waits.
// Run calls it; so do tests and benchmarks that need no goroutine.
func (t *Thinker) Once() bool { return t.think(t.take(within(noteTime))) }

// take brings news into the model and lists what changed.
func (t *Thinker) take(over spent) []Change {
	t.news.merge(t.inbox.collect())
	return t.news.apply(t.model, over)
}

// think plans what the changes touch, and what was touched before. It tells whether more waits.
func (t *Thinker) think(changes []Change) bool {
	for _, c := range changes {
		t.touch(c)
	}
	for _, q := range t.queues {
		q.rested(time.Now())
	}
	if t.waiting() > 0 {
		t.hooks.Begin()
		for _, s := range t.stages {
			if !s.Parts {
				t.planStage(s, never)
				continue
			}
			t.planStage(s, within(planTime))
		}
		t.hooks.Settle(t.model)
	}
	return len(t.news.latest) > 0 || t.waiting() > 0
}

// Due is when the first unit that rests is to be planned; zero: none is.
func (t *Thinker) Due() (first time.Time) {
	for _, q := range t.queues {
		if d := q.due(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first
}

// waiting is how many units of all stages are to be planned now.
func (t *Thinker) waiting() int {
	n := 0
	for _, q := range t.queues {
		n += q.len()
	}
	return n
}

// Waits is how many units of a stage are to be planned now. It is for hooks.
func (t *Thinker) Waits(stage ID) int {
	q := t.queues[stage]
	if q == nil {
		return 0
	}
	return q.len()
}

// touch finds by the change table what a change makes us plan anew.
func (t *Thinker) touch(c Change) {
	for _, s := range t.stages {
		noting := "noting for " + s.ID
		if t.panics.Load() > 0 {
			t.remark(noting, c.Ref, nil)
		}
		t.Contain(noting, c.Ref, func() {
			if s.Note != nil {
				s.Note(c, t.queues[s.ID].add)
			}
			if f := flow[c.Ref.Kind][s.ID]; f.find != nil {
				f.find(t.model, c, t.queues[s.ID].add)
			}
		})
	}
	t.hear(c)
}

// planStage plans units of a stage until its time is over, and one at least.
func (t *Thinker) planStage(s Stage, over spent) {
	q := t.queues[s.ID]
	if (s.Units != nil || s.Kinds != nil) && q.drop(Everything) {
		// What went in this turn is no unit of the stage any more, and must be planned for its claims to go: it was touched by itself.
		t.Contain(s.ID, Everything, func() {
			for _, u := range s.units(t.model) {
				q.add(u)
			}
		})
	}
	for {
		u, ok := q.next()
		if !ok {
			return
		}
		begun := time.Now()
		t.planUnit(s, u)
		if took := time.Since(begun); s.Parts && took > heavy {
			q.rest(u, time.Now().Add(min(restTimes*took, mostRest)))
		}
		if over() {
			return
		}
	}
}

func (t *Thinker) planUnit(s Stage, u model.Ref) {
	t.Contain(s.ID, u, func() {
		t.remark(s.ID, u, s.Plan(t.model, u))
	})
	if s.More == nil {
		return
	}
	for _, u := range s.More() {
		t.queues[s.ID].add(u)
	}
}

// Contain runs a piece of planning of a unit; a hook does so with what it plans for a stage. If it panics, which is a fault of ours, the unit's rows stay as they were, everybody
// hears of it, and all other units go on.
func (t *Thinker) Contain(stage ID, u model.Ref, f func()) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		t.panics.Add(1)
		what := fmt.Sprint(r)
		t.hooks.Failed(stage, u, what, debug.Stack())
		t.remark(stage, u, []model.Remark{failure(stage, u, what)})
	}()
	f()
}

// failure is the remark on an object that could not be planned.
func failure(stage ID, u model.Ref, what string) model.Remark {
	switch u.Kind {
	case policy.KindRules:
		u.Kind = model.KindPod
	case policy.KindSet, policy.KindGone, "":
		u = model.Ref{Kind: model.KindSettings}
	}
	return model.Remark{Object: u, Message: fmt.Sprintf("planning failed (%s), what was decided before stays in force; "+
		"this is a fault of kube-router, please report it: %s", stage, what)}
}
