package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"kube-router/internal/row"
)

// later puts off every removal once, and notes how many rows come at a time.
type later struct {
	mu    sync.Mutex
	rows  map[string]testRow
	tries []int
	again map[string]bool
}

func (l *later) Dump(context.Context) (map[string]testRow, error) { return l.rows, nil }

func (l *later) Apply(_ context.Context, changes []row.Change[string, testRow]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries = append(l.tries, len(changes))
	failed := row.Failed[string]{}
	for _, c := range changes {
		if !l.again[c.Key] {
			failed[c.Key], l.again[c.Key] = row.Later{Reason: "until everything new stands"}, true
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// TestWhatWaitsTogetherIsTriedTogether: rows that were put off in one step may need each other to go, a chain and the elements that
// lead to it, so none is tried again without the others.
func TestWhatWaitsTogetherIsTriedTogether(t *testing.T) {
	const n = 50_000
	w := &later{rows: map[string]testRow{}, again: map[string]bool{}}
	for i := range n {
		r := testRow{fmt.Sprint(i), 1}
		w.rows[r.Key()] = r
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lane := NewLane("test", NewLedger[string, testRow](), w, DefaultPace, slog.New(slog.DiscardHandler))
	lane.OnStep(func() {
		if s := lane.Status(); s.Have == 0 && s.Waiting == 0 && s.Settled() {
			cancel()
		}
	})
	if err := lane.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []int{n, n}; fmt.Sprint(w.tries) != fmt.Sprint(want) {
		t.Errorf("rows at a time: %v, want %v", w.tries, want)
	}
}
