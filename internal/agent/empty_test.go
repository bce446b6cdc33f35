package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"kube-router/internal/model"
	"kube-router/internal/row"
)

// leaf is a row of a table that is to be emptied.
type leaf string

func (l leaf) Key() string    { return string(l) }
func (l leaf) String() string { return string(l) }

// cupboard is a table of which nothing can be removed if it is locked.
type cupboard struct {
	rows   map[string]leaf
	locked bool
}

func (s *cupboard) Dump(context.Context) (map[string]leaf, error) {
	all := map[string]leaf{}
	for k, r := range s.rows {
		all[k] = r
	}
	return all, nil
}

func (s *cupboard) Apply(_ context.Context, changes []row.Change[string, leaf]) error {
	failed := row.Failed[string]{}
	for _, c := range changes {
		if s.locked {
			failed[c.Key] = errors.New("read-only file system")
			continue
		}
		delete(s.rows, c.Key)
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// TestCleanupGoesOn shows that what can't be removed keeps nothing else from being removed, and is named at the end.
func TestCleanupGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := newTables(slog.New(slog.DiscardHandler))
		first, last := &cupboard{rows: map[string]leaf{"a": "a"}}, &cupboard{rows: map[string]leaf{"c": "c"}}
		locked := &cupboard{rows: map[string]leaf{"b": "b"}, locked: true}
		open(tables, &kind{name: "first"}, first, &model.Settings{})
		open(tables, &kind{name: "locked"}, locked, &model.Settings{})
		open(tables, &kind{name: "last"}, last, &model.Settings{})
		err := tables.empty(t.Context())
		if len(first.rows) > 0 || len(last.rows) > 0 {
			t.Errorf("left: %v, %v", first.rows, last.rows)
		}
		if err == nil || !strings.Contains(err.Error(), "clean up locked: 1 rows are left; b: read-only file system") {
			t.Errorf("it says %v", err)
		}
	})
}
