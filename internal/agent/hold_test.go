package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// word is a row without any meaning.
type word string

func (w word) Key() word      { return w }
func (w word) String() string { return string(w) }

// shelf is a target that notes what is done to it.
type shelf struct {
	name string
	mu   *sync.Mutex
	done *[]string
	rows map[word]word
}

func (s shelf) Dump(context.Context) (map[word]word, error) { return s.rows, nil }

func (s shelf) Apply(_ context.Context, changes []row.Change[word, word]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if c.New != nil && *c.New == "bad" {
			return row.Failed[word]{c.Key: errors.New("refused")}
		}
		*s.done = append(*s.done, s.name+" "+c.String())
	}
	return nil
}

func TestHold(t *testing.T) {
	placed := make(chan struct{})
	var mu sync.Mutex
	var done []string
	target := hold(shelf{"", &mu, &done, nil}, placed, everyRow)
	a, b, bad := word("a"), word("b"), word("bad")
	changes := []row.Change[word, word]{{Key: a, Old: &a}, {Key: b, New: &b}}
	var failed row.Failed[word]
	later := row.Later{}
	if err := target.Apply(t.Context(), changes); !errors.As(err, &failed) || len(failed) != 1 || !errors.As(failed[a], &later) {
		t.Errorf("have %v", err)
	}
	err := target.Apply(t.Context(), append(changes, row.Change[word, word]{Key: bad, New: &bad}))
	if !errors.As(err, &failed) || len(failed) != 2 || errors.As(failed[bad], &later) {
		t.Errorf("have %v", err)
	}
	close(placed)
	if err := target.Apply(t.Context(), changes[:1]); err != nil {
		t.Error(err)
	}
	if want := []string{" + b", " + b", " - a"}; !slices.Equal(done, want) {
		t.Errorf("have %q", done)
	}
}

// TestStartMakesBeforeItBreaks starts tables of which one holds what carried traffic until now and another what
// will: the first loses nothing before the second has all.
func TestStartMakesBeforeItBreaks(t *testing.T) {
	list := newTables(slog.New(slog.DiscardHandler))
	var mu sync.Mutex
	var done []string
	old := map[word]word{"old": "old"}
	links := open(list, linkTable, hold(shelf{"rtnl", &mu, &done, old}, list.placed, everyRow), &model.Settings{})
	rules := open(list, ruleTable, shelf{"nft", &mu, &done, map[word]word{}}, &model.Settings{})
	files := open(list, fileTable, shelf{"cni", &mu, &done, map[word]word{}}, &model.Settings{})
	links.Claim(reconcile.Owner{}, "new")
	rules.Claim(reconcile.Owner{}, "rule")
	files.Claim(reconcile.Owner{}, "file")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	list.onStep = func(table) {
		mu.Lock()
		defer mu.Unlock()
		if len(done) == 4 {
			cancel()
		}
	}
	if err := list.run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"rtnl + new", "nft + rule", "cni + file", "rtnl - old"}; !slices.Equal(done, want) {
		t.Errorf("have %q", done)
	}
}
