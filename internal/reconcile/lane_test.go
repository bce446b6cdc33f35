package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kube-router/internal/row"
)

// world is an outside with faults: one row in ten fails, one call in twenty fails as a whole after doing
// half of its work, removals may take time, and strangers meddle.
type world struct {
	mu    sync.Mutex
	rows  map[string]testRow
	slow  map[string]int
	rnd   *rand.Rand
	calm  bool
	calls int
}

func (w *world) Dump(context.Context) (map[string]testRow, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calm && w.rnd.IntN(10) == 0 {
		return nil, errors.New("dump interrupted")
	}
	return maps.Clone(w.rows), nil
}

func (w *world) Apply(_ context.Context, changes []row.Change[string, testRow]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	failed := row.Failed[string]{}
	for i, c := range changes {
		if !w.calm && w.rnd.IntN(20) == 0 && i >= len(changes)/2 {
			return errors.New("connection lost")
		}
		if !w.calm && w.rnd.IntN(10) == 0 {
			failed[c.Key] = errors.New("device busy")
			continue
		}
		if err := w.one(c); err != nil {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (w *world) one(c row.Change[string, testRow]) error {
	if c.New != nil {
		w.rows[c.Key] = *c.New
		delete(w.slow, c.Key)
		return nil
	}
	if w.slow[c.Key]++; w.slow[c.Key] < 3 {
		w.rows[c.Key] = testRow{c.Key, -1} // draining
		return row.Later{Reason: "connections"}
	}
	delete(w.rows, c.Key)
	delete(w.slow, c.Key)
	return nil
}

func (w *world) meddle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := fmt.Sprint(w.rnd.IntN(8))
	if w.rnd.IntN(2) == 0 {
		delete(w.rows, k)
	} else {
		w.rows[k] = testRow{k, 99}
	}
}

// TestLaneConverges makes random claims while the world fails, is meddled with and the lane is restarted,
// then gives it peace: the world must become what the ledger wants.
func TestLaneConverges(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) { converge(t, seed) })
	}
}

func converge(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	w := &world{rows: map[string]testRow{}, slow: map[string]int{}, rnd: rand.New(rand.NewPCG(seed, 3))}
	w.rows["old"] = testRow{"old", 1} // left by an earlier life
	ledger := NewLedger[string, testRow]()
	var lane *Lane[string, testRow]
	stop := func() {}
	start := func() {
		stop()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		lane = NewLane("test", ledger, w, DefaultPace, slog.New(slog.DiscardHandler))
		go func() { defer close(done); lane.Run(ctx) }()
		stop = func() { cancel(); <-done }
	}
	start()
	for range 80 {
		switch rnd.IntN(10) {
		case 0:
			start()
		case 1, 2:
			w.meddle()
			lane.Kick()
		default:
			claimSome(rnd, ledger)
		}
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
	}
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	lane.Kick()
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	want := map[string]testRow{}
	for k, r := range ledger.All {
		want[k] = r
	}
	if !maps.Equal(want, w.rows) {
		t.Fatalf("seed %d: world %v, want %v, status %+v", seed, w.rows, want, lane.Status())
	}
	if s := lane.Status(); !s.Settled() || s.Waiting != 0 {
		t.Fatalf("seed %d: agrees but says %+v", seed, s)
	}
	stop()
}

func claimSome(rnd *rand.Rand, l *Ledger[string, testRow]) {
	var rows []testRow
	for range rnd.IntN(4) {
		rows = append(rows, testRow{fmt.Sprint(rnd.IntN(8)), rnd.IntN(3)})
	}
	l.Claim(testOwner(rnd.IntN(4)), rows...)
}

// TestLaneTouchesOnlyWhatChanged shows that one changed claim costs one change, whatever else stands.
func TestLaneTouchesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{rows: map[string]testRow{}, slow: map[string]int{}, calm: true}
		ledger := NewLedger[string, testRow]()
		for i := range 1000 {
			ledger.Claim(Owner{0, fmt.Sprint(i)}, testRow{fmt.Sprint(i), 1})
		}
		lane := NewLane("test", ledger, w, DefaultPace, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.Background())
		go lane.Run(ctx)
		synctest.Wait()
		before := lane.Status().Stats
		ledger.Claim(Owner{0, "7"}, testRow{"7", 2})
		synctest.Wait()
		after := lane.Status().Stats
		if d := after.Changes - before.Changes; d != 1 || after.Looks != before.Looks {
			t.Errorf("%d changes and %d looks for one claim", d, after.Looks-before.Looks)
		}
		cancel()
		synctest.Wait()
	})
}

// TestLaneBringsBackADrainingRow shows that a row wanted again while its removal takes time is written.
func TestLaneBringsBackADrainingRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{rows: map[string]testRow{}, slow: map[string]int{}, calm: true}
		ledger := NewLedger[string, testRow]()
		owner := Owner{0, "a"}
		lane := NewLane("test", ledger, w, DefaultPace, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.Background())
		go lane.Run(ctx)
		ledger.Claim(owner, testRow{"x", 1})
		synctest.Wait()
		ledger.Claim(owner)
		synctest.Wait()
		if w.rows["x"].V != -1 || lane.Status().Waiting != 1 {
			t.Fatalf("not draining: %v", w.rows)
		}
		ledger.Claim(owner, testRow{"x", 1})
		synctest.Wait()
		if w.rows["x"].V != 1 || lane.Status().Waiting != 0 {
			t.Errorf("not brought back: %v", w.rows)
		}
		cancel()
		synctest.Wait()
	})
}
