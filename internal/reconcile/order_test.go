package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/row"
)

// patience is that of the lanes of these tests.
const patience = 2 * time.Second

// pairRow is a row of one of two tables that have an order; a name in capitals must go with what replaces it.
type pairRow string

func (r pairRow) Key() string    { return strings.TrimSuffix(string(r), "'") }
func (r pairRow) String() string { return string(r) }
func (r pairRow) Lingers() bool  { return strings.ToLower(string(r)) == string(r) }

// diary is what two tables write, in the order in which they do.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

type diaryTable struct {
	name string
	*diary
	gate chan struct{} // every write waits for a token; nil: none does
	fail func(changes int) error
}

func (diaryTable) Dump(context.Context) (map[string]pairRow, error) {
	return map[string]pairRow{}, nil
}

func (t diaryTable) Apply(ctx context.Context, changes []row.Change[string, pairRow]) error {
	if t.gate != nil {
		select {
		case <-t.gate:
		case <-ctx.Done():
		}
	}
	if t.fail != nil {
		if err := t.fail(len(changes)); err != nil {
			return err
		}
	}
	var list []string
	for _, c := range changes {
		list = append(list, t.name+" "+c.String())
	}
	slices.Sort(list)
	t.add(strings.Join(list, ", "))
	return nil
}

// orderedPair are two lanes with an order, which run until the test ends.
type orderedPair struct {
	rules, servers         *Ledger[string, pairRow]
	ruleLane, serverLane   *Lane[string, pairRow]
	diary                  *diary
	rulesGate, serversGate chan struct{}
}

func newPair(t *testing.T, fail func(int) error) *orderedPair {
	p := &orderedPair{rules: NewLedger[string, pairRow](), servers: NewLedger[string, pairRow](), diary: &diary{}, rulesGate: make(chan struct{}, 100), serversGate: make(chan struct{}, 100)}
	log := slog.New(slog.DiscardHandler)
	pace := DefaultPace
	pace.Yield = patience
	p.ruleLane = NewLane("rules", p.rules, diaryTable{"rules", p.diary, p.rulesGate, fail}, pace, log)
	p.serverLane = NewLane("servers", p.servers, diaryTable{"servers", p.diary, p.serversGate, nil}, pace, log)
	Order(p.ruleLane, p.serverLane)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = p.ruleLane.Run(ctx) })
	all.Go(func() { _ = p.serverLane.Run(ctx) })
	t.Cleanup(func() { cancel(); all.Wait() })
	return p
}

// claim is a turn in which an owner wants rows of both tables.
func (p *orderedPair) claim(owner string, rules, servers []pairRow) {
	p.rules.Begin()
	p.servers.Begin()
	p.servers.Claim(Owner{Name: owner}, servers...)
	p.rules.Claim(Owner{Name: owner}, rules...)
	p.servers.End()
	p.rules.End()
}

// wait returns when both tables are as wanted; until then nobody may have been put off for long.
func (p *orderedPair) wait(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience / 2); !p.ruleLane.Status().Settled() || !p.serverLane.Status().Settled(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("rules %+v, servers %+v", p.ruleLane.Status(), p.serverLane.Status())
		}
	}
}

func TestOrder(t *testing.T) {
	p := newPair(t, nil)
	p.wait(t)
	for range 50 {
		p.rulesGate <- struct{}{}
		p.serversGate <- struct{}{}
	}
	for _, c := range []struct {
		name           string
		rules, servers []pairRow
		want           []string
	}{
		{"all of it comes", []pairRow{"mask", "SPAN"}, []pairRow{"front", "dest"}, []string{"rules + SPAN, rules + mask", "servers + dest, servers + front"}},
		{"servers alone", []pairRow{"mask", "SPAN"}, []pairRow{"front", "dest'"}, []string{"servers ~ dest'"}},
		{"one comes, one goes", []pairRow{"none", "SPAN'"}, []pairRow{"front"}, []string{"rules + none, rules ~ SPAN'", "servers - dest'", "rules - mask"}},
		{"ranges go with what replaces them", []pairRow{"none"}, []pairRow{"front", "dest"}, []string{"rules - SPAN'", "servers + dest"}},
		{"all of it goes", nil, nil, []string{"servers - dest, servers - front", "rules - none"}},
	} {
		p.claim("o", c.rules, c.servers)
		p.wait(t)
		if have := p.diary.take(); !slices.Equal(have, c.want) {
			t.Errorf("%s: %q, want %q", c.name, have, c.want)
		}
	}
}

// TestOrderIsOfOneOwner: while a table is slow with what one owner wants, all others go on in the other table.
func TestOrderIsOfOneOwner(t *testing.T) {
	p := newPair(t, nil)
	p.wait(t)
	p.serversGate <- struct{}{}
	p.serversGate <- struct{}{}
	p.claim("slow", []pairRow{"rule"}, []pairRow{"server"})
	time.Sleep(20 * time.Millisecond)
	p.claim("other", nil, []pairRow{"another"})
	time.Sleep(100 * time.Millisecond)
	if have := p.diary.take(); !slices.Equal(have, []string{"servers + another"}) {
		t.Errorf("while the rules are written: %q", have)
	}
	if s := p.serverLane.Status(); s.Settled() {
		t.Error("a table with a change that waits is taken for settled")
	}
	p.rulesGate <- struct{}{}
	p.wait(t)
	if have := p.diary.take(); !slices.Equal(have, []string{"rules + rule", "servers + server"}) {
		t.Errorf("after it: %q", have)
	}
}

// TestOrderHasABound: a table that stands still, or that can't be written, holds nobody up for longer than patience.
func TestOrderHasABound(t *testing.T) {
	p := newPair(t, nil)
	p.wait(t)
	p.serversGate <- struct{}{}
	begun := time.Now()
	p.claim("o", []pairRow{"rule"}, []pairRow{"server"})
	for len(p.diary.take()) == 0 && time.Since(begun) < 10*patience {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begun); took < patience || took > 5*patience {
		t.Errorf("the server was written after %s", took)
	}
	p.rulesGate <- struct{}{}
}

// TestOrderOfWhatFails: what fails in the first table is known to fail, and holds nobody up.
func TestOrderOfWhatFails(t *testing.T) {
	p := newPair(t, func(int) error { return row.Failed[string]{"rule": errors.New("refused")} })
	p.rulesGate <- struct{}{}
	p.serversGate <- struct{}{}
	begun := time.Now()
	p.claim("o", []pairRow{"rule"}, []pairRow{"server"})
	for len(p.diary.take()) == 0 && time.Since(begun) < 10*patience {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("the server was written after %s", took)
	}
}
