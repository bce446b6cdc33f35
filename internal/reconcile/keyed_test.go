package reconcile

import (
	"maps"
	"math/rand/v2"
	"testing"
)

type pair struct{ k, v int }

// Whatever is put and dropped, it is what a map is, though many keys have one hash.
func TestKeyed(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, kinds := range []int{1, 3, 1 << 20} {
		have, want := newKeyed(func(p pair) int { return p.k }), map[int]pair{}
		have.hash = func(k int) uint64 { return uint64(k % kinds) }
		for i := range 50_000 {
			k := rnd.IntN(50)
			if kinds > 3 {
				k = rnd.IntN(1 + 6000*((50_000-i)/12_500)) // many, then few
			}
			if rnd.IntN(2) == 0 {
				have.put(k, pair{k, i})
				want[k] = pair{k, i}
			} else {
				have.drop(k)
				delete(want, k)
			}
			got, ok := have.get(k)
			if w, there := want[k]; got != w || ok != there || have.len() != len(want) {
				t.Fatalf("step %d: %v %v, want %v %v; %d keys, want %d", i, got, ok, w, there, have.len(), len(want))
			}
		}
		if got := maps.Collect(have.all()); !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// What there were many of, and are few, takes the room of few.
func TestKeyedShrinks(t *testing.T) {
	have := newKeyed(func(p pair) int { return p.k })
	for i := range 10_000 {
		have.put(i, pair{i, i})
	}
	for i := range 9_990 {
		have.drop(i)
	}
	if have.most > 2_500 || have.len() != 10 {
		t.Errorf("made for %d, holds %d", have.most, have.len())
	}
}
