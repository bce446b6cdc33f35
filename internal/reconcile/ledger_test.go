package reconcile

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

type testRow struct {
	K string
	V int
}

func (r testRow) Key() string    { return r.K }
func (r testRow) String() string { return fmt.Sprintf("%s=%d", r.K, r.V) }

func testOwner(i int) Owner { return Owner{Rank: i % 3, Name: fmt.Sprint(i)} }

// TestLedgerAgainstNaive compares a ledger after random claims with the rule told in one loop.
func TestLedgerAgainstNaive(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := NewLedger[string, testRow]()
		claims := map[Owner]map[string]testRow{}
		seen := map[string]testRow{}
		for range 60 {
			o := testOwner(rnd.IntN(6))
			rows := map[string]testRow{}
			var list []testRow
			for range rnd.IntN(5) {
				r := testRow{fmt.Sprint(rnd.IntN(6)), rnd.IntN(2)}
				rows[r.K] = r
				list = append(list, r)
			}
			claims[o] = rows
			l.Claim(o, list...)
			for k := range l.Take() {
				delete(seen, k)
				if r, ok := l.Want(k); ok {
					seen[k] = r
				}
			}
			want := naive(claims)
			if fmt.Sprint(want) != fmt.Sprint(seen) {
				t.Fatalf("seed %d: followed %v, want %v", seed, seen, want)
			}
			if l.Len() != len(want) {
				t.Fatalf("seed %d: %d rows, want %d", seed, l.Len(), len(want))
			}
		}
	}
}

// naive settles every key from all claims: lowest rank, then name.
func naive(claims map[Owner]map[string]testRow) map[string]testRow {
	winner, want := map[string]Owner{}, map[string]testRow{}
	for o, rows := range claims {
		for k, r := range rows {
			if w, ok := winner[k]; !ok || o.Compare(w) < 0 {
				winner[k], want[k] = o, r
			}
		}
	}
	return want
}

func TestLedgerTellsOwners(t *testing.T) {
	l := NewLedger[string, testRow]()
	a, b := Owner{0, "a"}, Owner{0, "b"}
	l.Claim(b, testRow{"x", 2})
	l.Claim(a, testRow{"x", 1})
	if got := fmt.Sprint(l.Owners("x")); got != "[{0 a} {0 b}]" {
		t.Errorf("owners %s", got)
	}
	l.Claim(a)
	if r, _ := l.Want("x"); r.V != 2 {
		t.Errorf("the loser's claim does not stand again: %v", r)
	}
}

// BenchmarkClaim is one ten-row claim among a hundred thousand standing rows of which each owner shares two.
func BenchmarkClaim(b *testing.B) {
	l := NewLedger[string, testRow]()
	rows := func(i, v int) []testRow {
		list := []testRow{{"shared-a", 0}, {"shared-b", 0}}
		for j := range 8 {
			list = append(list, testRow{fmt.Sprintf("%d/%d", i, j), v})
		}
		return list
	}
	for i := range 12500 {
		l.Claim(Owner{0, fmt.Sprint(i)}, rows(i, 0)...)
	}
	l.Take()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		l.Claim(Owner{0, "77"}, rows(77, n)...)
		l.Take()
	}
}
