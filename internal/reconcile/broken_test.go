package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kube-router/internal/row"
)

// refusing is a table of which a row never works, and that from a certain time on can't be read or written at all.
type refusing struct {
	unread, unwritten bool
	tries             int
	enough            func() // called at the hundredth try: in synctest no time passes for a lane that never pauses
}

func (r *refusing) tried() {
	if r.tries++; r.tries == 100 {
		r.enough()
	}
}

func (r *refusing) Dump(context.Context) (map[string]testRow, error) {
	r.tried()
	if r.unread {
		return nil, errors.New("the socket is gone")
	}
	return map[string]testRow{}, nil
}

func (r *refusing) Apply(_ context.Context, changes []row.Change[string, testRow]) error {
	r.tried()
	if r.unwritten {
		return errors.New("the transaction is refused")
	}
	failed := row.Failed[string]{}
	for _, c := range changes {
		failed[c.Key] = errors.New("refused")
	}
	return failed
}

// TestABrokenTableKeepsItsBackOff shows that a row that fails, and whose time has come long ago, does not make a lane
// ask a table without pause that can't be read, or can't be written, at all.
func TestABrokenTableKeepsItsBackOff(t *testing.T) {
	for name, breaks := range map[string]func(*refusing){
		"unread":    func(r *refusing) { r.unread = true },
		"unwritten": func(r *refusing) { r.unwritten = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &refusing{enough: func() {}}
				ledger := NewLedger[string, testRow]()
				ledger.Claim(Owner{Name: "o"}, testRow{"x", 1})
				lane := NewLane("t", ledger, world, DefaultPace, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				go lane.Run(ctx)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				breaks(world)
				world.tries, world.enough = 0, cancel
				lane.Kick()
				time.Sleep(time.Minute)
				cancel()
				synctest.Wait()
				if world.tries >= 100 {
					t.Error("it was tried without a pause")
				}
			})
		})
	}
}

// lastWord is a target whose writes are cut short by the end of the daemon.
type lastWord struct{ end func() }

func (lastWord) Dump(context.Context) (map[string]waitRow, error) { return map[string]waitRow{}, nil }

func (l lastWord) Apply(ctx context.Context, changes []row.Change[string, waitRow]) error {
	l.end()
	return row.Failed[string]{changes[0].Key: ctx.Err()}
}

// TestTheEndIsNoFailure: what the end of the daemon cuts short is no fault of its row, and nothing for the log.
func TestTheEndIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ledger := NewLedger[string, waitRow]()
	ledger.Claim(Owner{Name: "o"}, "a1")
	var said strings.Builder
	lane := NewLane("t", ledger, lastWord{cancel}, DefaultPace, slog.New(slog.NewTextHandler(&said, nil)))
	if err := lane.Run(ctx); err != nil || said.Len() > 0 || len(lane.Status().Failing) > 0 {
		t.Errorf("%v, %v: %s", err, lane.Status().Failing, said.String())
	}
}
