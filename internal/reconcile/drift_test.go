package reconcile

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOthersChangesAreTold shows that rows which somebody removed or changed are counted and told of once a minute, and
// that nothing is told of what we change ourselves or of what nobody wants.
func TestOthersChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := &world{rows: map[string]testRow{"stale": {"stale", 1}}, slow: map[string]int{}, calm: true}
		ledger := NewLedger[string, testRow]()
		ledger.Claim(Owner{Name: "o"}, testRow{"x", 1}, testRow{"y", 1})
		lane := NewLane("t", ledger, w, DefaultPace, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go lane.Run(ctx)
		meddle := func(f func()) {
			w.mu.Lock()
			f()
			w.mu.Unlock()
			lane.Kick()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		told := func() int { return strings.Count(log.String(), "by others") }
		ledger.Claim(Owner{Name: "o"}, testRow{"x", 2}, testRow{"y", 1})
		meddle(func() { w.rows["foreign"] = testRow{"foreign", 1} })
		if n := lane.Status().Stats.Drifted; n != 0 || told() != 0 {
			t.Errorf("%d rows drifted, told %d times, and nobody touched a row that is wanted: %s", n, told(), &log)
		}
		meddle(func() { delete(w.rows, "x"); w.rows["y"] = testRow{"y", 9} })
		if n := lane.Status().Stats.Drifted; n != 2 || told() != 1 || !strings.Contains(log.String(), "rows=2") {
			t.Errorf("two rows were meddled with, %d are counted: %s", n, &log)
		}
		meddle(func() { delete(w.rows, "x") })
		if n := lane.Status().Stats.Drifted; n != 3 || told() != 1 {
			t.Errorf("at once again: %d are counted, told %d times", n, told())
		}
		time.Sleep(tellDrift)
		meddle(func() { delete(w.rows, "x") })
		if told() != 2 || w.rows["x"].V != 2 {
			t.Errorf("a minute later: told %d times, world %v", told(), w.rows)
		}
		cancel()
		synctest.Wait()
	})
}
