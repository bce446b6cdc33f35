package reconcile

import (
	"context"
	"errors"
	"log/slog"
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
	done := make(chan struct{})
	go func() { defer close(done); _ = lane.Run(ctx) }()

	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if err := lane.Wait(short, "a"); err == nil {
		t.Error("a row was written before End")
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
