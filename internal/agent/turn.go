package agent

import (
	"fmt"
	"log/slog"
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

func newQueues(stages []stage) map[string]*queue {
	all := map[string]*queue{}
	for _, s := range stages {
		all[s.name] = &queue{rank: s.rank}
	}
	return all
}

// once is one turn: what news there are, and what waits to be planned, as far as its time goes. It tells whether more waits.
func (t *thinker) once() bool { return t.think(t.take(within(noteTime))) }

// take brings news into the model and lists what changed.
func (t *thinker) take(over spent) []change {
	t.news.merge(t.inbox.collect())
	return t.news.apply(t.model, over)
}

// think plans what the changes touch, and what was touched before. It tells whether more waits.
func (t *thinker) think(changes []change) bool {
	for _, c := range changes {
		t.touch(c)
	}
	for _, q := range t.queues {
		q.rested(time.Now())
	}
	if t.waits("") > 0 {
		t.begin()
		for _, s := range t.stages {
			if !s.parts {
				t.planStage(s, never)
				continue
			}
			t.planStage(s, within(planTime))
		}
		t.settle()
	}
	return len(t.news.latest) > 0 || t.waits("") > 0
}

// due is when the first unit that rests is to be planned; zero: none is.
func (t *thinker) due() (first time.Time) {
	for _, q := range t.queues {
		if d := q.due(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first
}

// waits is how many units of a stage, or of all, are to be planned now.
func (t *thinker) waits(stage string) int {
	n := 0
	for name, q := range t.queues {
		if stage == "" || stage == name {
			n += q.len()
		}
	}
	return n
}

// touch finds by the change table what a change makes us plan anew.
func (t *thinker) touch(c change) {
	for _, s := range t.stages {
		noting := "noting for " + s.name
		if t.panics.Load() > 0 {
			t.remark(noting, c.ref, nil)
		}
		t.contain(noting, c.ref, func() {
			if s.note != nil {
				s.note(c, t.queues[s.name].add)
			}
			if f := flow[c.ref.Kind][s.name]; f != nil {
				f(t.model, c, t.queues[s.name].add)
			}
		})
	}
}

// planStage plans units of a stage until its time is over, and one at least.
func (t *thinker) planStage(s stage, over spent) {
	q := t.queues[s.name]
	if s.units != nil && q.drop(everything) {
		// What went in this turn is no unit of the stage any more, and must be planned for its claims to go: it was touched by itself.
		t.contain(s.name, everything, func() {
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
		if took := time.Since(begun); s.parts && took > heavy {
			q.rest(u, time.Now().Add(min(restTimes*took, mostRest)))
		}
		if over() {
			return
		}
	}
}

func (t *thinker) planUnit(s stage, u model.Ref) {
	t.contain(s.name, u, func() {
		t.remark(s.name, u, s.plan(t.model, u))
	})
	if s.more == nil {
		return
	}
	for _, u := range s.more() {
		t.queues[s.name].add(u)
	}
}

// contain runs a piece of planning. If it panics, which is a fault of ours, the unit's rows stay as they were, everybody
// hears of it, and all other units go on.
func (t *thinker) contain(stage string, u model.Ref, f func()) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		t.panics.Add(1)
		what := fmt.Sprint(r)
		t.failed(stage, u, what, debug.Stack())
		t.remark(stage, u, []model.Remark{failure(stage, u, what)})
	}()
	f()
}

// planFailed logs panics in planning.
func planFailed(log *slog.Logger) func(string, model.Ref, string, []byte) {
	return func(stage string, u model.Ref, what string, stack []byte) {
		log.Error("planning failed: what was decided before stays in force", "stage", stage, "unit", u.String(), "panic", what, "stack", string(stack))
	}
}

// failure is the remark on an object that could not be planned.
func failure(stage string, u model.Ref, what string) model.Remark {
	switch u.Kind {
	case policy.KindRules:
		u.Kind = model.KindPod
	case policy.KindSet, policy.KindGone, "":
		u = model.Ref{Kind: model.KindSettings}
	}
	return model.Remark{Object: u, Message: fmt.Sprintf("planning failed (%s), what was decided before stays in force; "+
		"this is a fault of kube-router, please report it: %s", stage, what)}
}
