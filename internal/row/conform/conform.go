// Package conform is the one test that every row.Target passes, the real one and its fake: what goes in
// comes out, again and again, after a restart too; what is refused is refused alone; what is not ours stays.
package conform

import (
	"errors"
	"math/rand/v2"
	"testing"

	"kube-router/internal/row"
)

// Config is what the suite must know about a target.
type Config[K comparable, R row.Row[K]] struct {
	// Open opens the target. Every call within one test gets the same outside world: it is a restart.
	// World, called before, begins a new one where the target needs that.
	Open  func(t testing.TB) row.Target[K, R]
	World func(t testing.TB)

	// Rows makes about n rows that can stand together. Each may need earlier ones but no later ones.
	Rows func(n int) []R

	// Change gives a row with the same key and another value, or false where there is none.
	Change func(R) (R, bool)

	// Bad are rows, none of them in Rows, that the target refuses while Rows(10) stand. May be nil.
	Bad func() []R

	// Foreign makes things beside ours that are not ours, and returns what checks that they are there
	// still. May be nil.
	Foreign func(t testing.TB) func() error

	// Many is how many rows the largest test has; 0: ten thousand.
	Many int

	// Seed makes another random walk.
	Seed uint64
}

// Target runs the suite.
func Target[K comparable, R row.Row[K]](t *testing.T, c Config[K, R]) {
	for _, test := range []struct {
		name string
		run  func(*suite[K, R])
	}{
		{"nothing", (*suite[K, R]).nothing},
		{"round", (*suite[K, R]).round},
		{"again", (*suite[K, R]).again},
		{"update", (*suite[K, R]).update},
		{"stale", (*suite[K, R]).stale},
		{"some", (*suite[K, R]).some},
		{"refused", (*suite[K, R]).refused},
		{"foreign", (*suite[K, R]).foreign},
		{"restart", (*suite[K, R]).restart},
		{"walk", (*suite[K, R]).walk},
		{"many", (*suite[K, R]).many},
	} {
		t.Run(test.name, func(t *testing.T) {
			if c.World != nil {
				c.World(t)
			}
			test.run(&suite[K, R]{Config: c, T: t, target: c.Open(t)})
		})
	}
}

type suite[K comparable, R row.Row[K]] struct {
	Config[K, R]
	*testing.T
	target row.Target[K, R]
}

// apply makes the table from what was to what is wanted, in any order.
func (s *suite[K, R]) apply(have, want map[K]R) error {
	s.Helper()
	return s.target.Apply(s.Context(), Diff(have, want))
}

func (s *suite[K, R]) must(have, want map[K]R) {
	s.Helper()
	if err := s.apply(have, want); err != nil {
		s.Fatal("apply: ", err)
	}
}

// expect compares the dump.
func (s *suite[K, R]) expect(want map[K]R) {
	s.Helper()
	have, err := s.target.Dump(s.Context())
	if err != nil {
		s.Fatal("dump: ", err)
	}
	shown := 0
	for _, c := range Diff(have, want) {
		if shown++; shown > 20 {
			break
		}
		s.Errorf("the dump (old) is not what was applied (new): %s", c)
		if c.Old != nil && c.New != nil {
			s.Logf("it was %v", *c.Old)
		}
	}
	if shown > 0 {
		s.FailNow()
	}
}

// clear removes everything that is in the dump.
func (s *suite[K, R]) clear() {
	s.Helper()
	have, err := s.target.Dump(s.Context())
	if err != nil {
		s.Fatal("dump: ", err)
	}
	s.must(have, nil)
	s.expect(nil)
}

// Index maps rows by key.
func Index[K comparable, R row.Row[K]](rows []R) map[K]R {
	m := make(map[K]R, len(rows))
	for _, r := range rows {
		m[r.Key()] = r
	}
	return m
}

// Diff lists the changes from have to want, in random order as a lane does.
func Diff[K comparable, R row.Row[K]](have, want map[K]R) (changes []row.Change[K, R]) {
	for k, old := range have {
		c := row.Change[K, R]{Key: k, Old: &old}
		if r, ok := want[k]; ok {
			if r == old {
				continue
			}
			c.New = &r
		}
		changes = append(changes, c)
	}
	for k, r := range want {
		if _, ok := have[k]; !ok {
			changes = append(changes, row.Change[K, R]{Key: k, New: &r})
		}
	}
	rand.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	return changes
}

func (s *suite[K, R]) failed(err error) row.Failed[K] {
	s.Helper()
	var failed row.Failed[K]
	if err != nil && !errors.As(err, &failed) {
		s.Fatalf("all rows failed where some should: %v", err)
	}
	return failed
}
