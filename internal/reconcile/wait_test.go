package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/row"
)

type waitRow string

func (r waitRow) Key() string    { return string(r[:1]) }
func (r waitRow) String() string { return string(r) }

// slowTarget takes a row when it is let through, and refuses those that end in !.
type slowTarget struct{ through chan struct{} }

func (slowTarget) Dump(context.Context) (map[string]waitRow, error) { return map[string]waitRow{}, nil }

func (s slowTarget) Apply(ctx context.Context, changes []row.Change[string, waitRow]) error {
	<-s.through
	failed := row.Failed[string]{}
	for _, c := range changes {
		if c.New != nil && (*c.New)[len(*c.New)-1] == '!' {
			failed[c.Key] = errors.New("refused")
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func TestWait(t *testing.T) {
	target := slowTarget{make(chan struct{})}
	ledger := NewLedger[string, waitRow]()
	lane := NewLane("t", ledger, target, DefaultPace, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ledger.Begin()
	ledger.Claim(Owner{Name: "o"}, "a1", "b1", "c1!")
	var steps atomic.Int32
	lane.OnStep(func() { steps.Add(1) })
	done := make(chan struct{})
	go func() { defer close(done); _ = lane.Run(ctx) }()

	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if err := lane.Wait(short, "a"); err == nil {
		t.Error("a row was written before End")
	}
	if steps.Load() > 0 {
		t.Error("a step is told of before End: whoever waits for the first one would take the table for written")
	}
	ledger.End()
	close(target.through)
	if err := lane.Wait(ctx, "a", "b", "d"); err != nil {
		t.Error(err)
	}
	short, stop = context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if err := lane.Wait(short, "c"); err == nil || err.Error() != "c is not written: refused" {
		t.Errorf("waiting for a row that fails: %v", err)
	}
	cancel()
	<-done
}

// version is one of many rows that are claimed anew with every turn.
type version struct{ key, turn int }

func (r version) Key() int       { return r.key }
func (r version) String() string { return fmt.Sprint(r.key, "@", r.turn) }

// versions is a target that notes when its rows are not of one turn.
type versions struct {
	have map[int]version
	torn string
	last func(turn int)
}

func (*versions) Dump(context.Context) (map[int]version, error) { return map[int]version{}, nil }

func (v *versions) Apply(_ context.Context, changes []row.Change[int, version]) error {
	for _, c := range changes {
		v.have[c.Key] = *c.New
	}
	for _, r := range v.have {
		if r.turn != v.have[0].turn {
			v.torn = fmt.Sprint(r, " beside ", v.have[0])
		}
	}
	v.last(v.have[0].turn)
	return nil
}

// TestATurnIsTakenWhole claims turn after turn of 500 rows while a lane writes them. What stands is always of one turn: one that begins
// while the lane takes the one before must not be seen in part.
func TestATurnIsTakenWhole(t *testing.T) {
	const turns = 500
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	target := &versions{have: map[int]version{}, last: func(turn int) {
		if turn == turns {
			cancel()
		}
	}}
	ledger := NewLedger[int, version]()
	lane := NewLane("t", ledger, target, DefaultPace, slog.New(slog.DiscardHandler))
	go func() {
		for turn := range turns + 1 {
			ledger.Begin()
			for key := range 500 {
				ledger.Claim(Owner{Name: fmt.Sprint(key)}, version{key, turn})
			}
			ledger.End()
			time.Sleep(time.Duration(turn%100) * time.Microsecond) // the lane is at another point each time
		}
	}()
	if err := lane.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if target.torn != "" {
		t.Errorf("rows of two turns: %s", target.torn)
	}
}
