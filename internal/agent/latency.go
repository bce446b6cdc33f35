package agent

import (
	"sync"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/think"
)

// latency measures network programming latency, SIG Scalability's indicator: from the change of an endpoint, as
// the EndpointSlice's annotation tells it, until the table of Services has taken it in.
type latency struct {
	born    time.Time                    // what happened before is no measure of us
	observe func(trigger, now time.Time) // one change has reached the kernel
	turn    []time.Time                  // triggers of the present turn; the thinking goroutine's alone

	mu      sync.Mutex
	waiting []time.Time // triggers whose rows are claimed
}

// heard takes the trigger of a changed slice.
func (l *latency) heard(c think.Change) {
	now, ok := c.New.(*model.Slice)
	if !ok || !now.Trigger.After(l.born) {
		return
	}
	// Who changes a slice without an endpoint's change leaves the annotation as it was.
	if old, ok := c.Old.(*model.Slice); ok && old.Trigger.Equal(now.Trigger) {
		return
	}
	l.turn = append(l.turn, now.Trigger)
}

// claimed says that the rows of the turn's changes are claimed.
func (l *latency) claimed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, l.turn...)
	l.turn = l.turn[:0]
}

// stepped is called after a step of the lane that carries Services. What was claimed before now is in the
// kernel if no key is dirty: the lane has taken them all and a step is over.
func (l *latency) stepped(status func() reconcile.Status) {
	l.mu.Lock()
	due := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	if len(due) == 0 {
		return
	}
	if s := status(); s.Dirty > 0 || s.Broken != "" {
		l.mu.Lock()
		l.waiting = append(due, l.waiting...)
		l.mu.Unlock()
		return
	}
	now := time.Now()
	for _, t := range due {
		l.observe(t, now)
	}
}
