package conform

import (
	"maps"
	"math/rand/v2"
	"time"

	"kube-router/internal/row"
)

func (s *suite[K, R]) nothing() {
	s.expect(nil)
	if err := s.target.Apply(s.Context(), nil); err != nil {
		s.Error(err)
	}
	// What was never there is gone already.
	s.must(Index[K](s.Rows(10)), nil)
	s.expect(nil)
}

func (s *suite[K, R]) round() {
	want := Index[K](s.Rows(10))
	s.must(nil, want)
	s.expect(want)
	s.must(want, nil)
	s.expect(nil)
}

// again applies what is there already and removes what is gone already.
func (s *suite[K, R]) again() {
	want := Index[K](s.Rows(10))
	s.must(nil, want)
	s.must(nil, want)
	s.expect(want)
	var same []row.Change[K, R]
	for k, r := range want {
		same = append(same, row.Change[K, R]{Key: k, Old: &r, New: &r})
	}
	if err := s.target.Apply(s.Context(), same); err != nil {
		s.Error(err)
	}
	s.expect(want)
	s.must(want, nil)
	s.must(want, nil)
	s.expect(nil)
}

func (s *suite[K, R]) update() {
	rows := s.Rows(10)
	first, all := Index[K](rows), Index[K](rows)
	s.must(nil, first)
	one := maps.Clone(first)
	for i, r := range rows {
		other, ok := s.Change(r)
		if !ok {
			continue
		}
		if other.Key() != r.Key() || other == r {
			s.Fatalf("row %d: Change(%v) = %v", i, r, other)
		}
		all[r.Key()] = other
		next := maps.Clone(first)
		next[r.Key()] = other
		s.must(one, next)
		s.expect(next)
		one = next
	}
	s.must(one, all)
	s.expect(all)
	s.must(all, first)
	s.expect(first)
	s.clear()
}

// stale gives changes whose Old is not what is there.
func (s *suite[K, R]) stale() {
	rows := s.Rows(10)
	want := Index[K](rows)
	others := maps.Clone(want)
	for _, r := range rows {
		if other, ok := s.Change(r); ok {
			others[r.Key()] = other
		}
	}
	s.must(nil, want)
	s.must(nil, others) // something else is there
	s.expect(others)
	s.must(nil, want)
	s.expect(want)
	last := rows[len(rows)-1]
	less := maps.Clone(want)
	delete(less, last.Key())
	if other, ok := s.Change(last); ok {
		s.must(want, less)
		want[last.Key()] = other
		if err := s.target.Apply(s.Context(), []row.Change[K, R]{{Key: last.Key(), Old: &last, New: &other}}); err != nil {
			s.Errorf("change of a row that is not there: %v", err)
		}
		s.expect(want)
	}
	s.clear()
}

// some removes and puts back the later half.
func (s *suite[K, R]) some() {
	rows := s.Rows(20)
	all, half := Index[K](rows), Index[K](rows[:len(rows)/2])
	for range 3 {
		s.must(nil, all)
		s.must(all, half)
		s.expect(half)
	}
	s.clear()
}

// refused puts bad rows among good ones.
func (s *suite[K, R]) refused() {
	if s.Bad == nil {
		s.Skip("nothing is refused")
	}
	good := Index[K](s.Rows(10))
	bad := Index[K](s.Bad())
	mixed := maps.Clone(good)
	maps.Copy(mixed, bad)
	for range 3 {
		failed := s.failed(s.apply(nil, mixed))
		for k, err := range failed {
			if _, ok := bad[k]; !ok {
				s.Errorf("%v failed with the bad: %v", k, err)
			}
		}
		for k, r := range bad {
			if failed[k] == nil {
				s.Errorf("not refused: %v", r)
			}
		}
		s.expect(good)
	}
	s.must(good, nil)
	s.expect(nil)
}

func (s *suite[K, R]) foreign() {
	if s.Foreign == nil {
		s.Skip("there is nothing that is not ours")
	}
	check := s.Foreign(s)
	s.expect(nil)
	want := Index[K](s.Rows(10))
	s.must(nil, want)
	s.expect(want)
	s.clear()
	if err := check(); err != nil {
		s.Errorf("what is not ours was touched: %v", err)
	}
}

func (s *suite[K, R]) restart() {
	want := Index[K](s.Rows(10))
	s.must(nil, want)
	s.target = s.Open(s)
	s.expect(want)
	s.must(nil, want)
	s.expect(want)
	s.clear()
}

// walk goes through random states.
func (s *suite[K, R]) walk() {
	random := rand.New(rand.NewPCG(s.Seed, 1))
	rows := s.Rows(30)
	have := map[K]R{}
	for range 50 {
		want := map[K]R{}
		for _, r := range rows[:random.IntN(len(rows)+1)] {
			if other, ok := s.Change(r); ok && random.IntN(3) == 0 {
				r = other
			}
			want[r.Key()] = r
		}
		s.must(have, want)
		s.expect(want)
		have = want
	}
	s.clear()
}

func (s *suite[K, R]) many() {
	n := s.Many
	if n == 0 {
		n = 10000
	}
	rows := s.Rows(n)
	want := Index[K](rows)
	start := time.Now()
	took := func(what string) {
		s.Logf("%s %d rows: %v", what, len(want), time.Since(start).Round(time.Millisecond))
		start = time.Now()
	}
	s.must(nil, want)
	took("apply")
	s.expect(want)
	took("dump")
	for i := len(rows) - 1; i >= 0; i-- {
		if other, ok := s.Change(rows[i]); ok {
			next := maps.Clone(want)
			next[other.Key()] = other
			start = time.Now()
			s.must(want, next)
			took("change one of")
			want = next
			break
		}
	}
	s.expect(want)
	start = time.Now()
	s.must(want, nil)
	took("remove")
	s.expect(nil)
}
