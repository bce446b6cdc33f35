package agent

import (
	"context"
	"errors"

	"kube-router/internal/row"
)

// hold makes a target that removes none of the rows that a function tells before a channel is closed. When an engine
// is changed, or another program's work is taken over, what carried Services until now is removed only after what will
// carry them stands; the two are tables of their own, and no lane waits for another.
func hold[K comparable, R any](target row.Target[K, R], until <-chan struct{}, which func(K) bool) row.Target[K, R] {
	h := held[K, R]{target, until, which}
	if w, ok := target.(watcher); ok {
		return watchedHeld[K, R]{h, w}
	}
	return h
}

type held[K comparable, R any] struct {
	row.Target[K, R]
	until <-chan struct{}
	which func(K) bool
}

// watchedHeld is held with the target's notifications.
type watchedHeld[K comparable, R any] struct {
	held[K, R]
	watcher
}

// everyRow holds all removals.
func everyRow[K comparable](K) bool { return true }

// Apply makes and changes rows at once; removals come later.
func (h held[K, R]) Apply(ctx context.Context, changes []row.Change[K, R]) error {
	select {
	case <-h.until:
		return h.Target.Apply(ctx, changes)
	default:
	}
	now := make([]row.Change[K, R], 0, len(changes))
	failed := row.Failed[K]{}
	for _, c := range changes {
		if c.New == nil && h.which(c.Key) {
			failed[c.Key] = row.Later{Reason: "until everything new is in place"}
			continue
		}
		now = append(now, c)
	}
	if len(now) > 0 {
		var some row.Failed[K]
		err := h.Target.Apply(ctx, now)
		if err != nil && !errors.As(err, &some) {
			return err
		}
		for k, err := range some {
			failed[k] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}
