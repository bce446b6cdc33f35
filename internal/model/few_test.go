package model

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// Whatever is entered and left, the index is what a map of maps would be.
func TestFew(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	have, want := map[int]few[*int]{}, map[int]map[*int]*int{}
	values := make([]int, 40)
	for range 20_000 {
		k, v := rnd.IntN(3), &values[rnd.IntN(1+rnd.IntN(len(values)))]
		if rnd.IntN(2) == 0 {
			enter(have, k, v)
			index(want, k, v, v)
		} else {
			leave(have, k, v)
			unindex(want, k, v)
		}
		if len(have) != len(want) {
			t.Fatalf("%d keys, want %d", len(have), len(want))
		}
		n := 0
		for range all(have[k], func(v *int) *int { return v }) {
			n++
		}
		if got := maps.Collect(all(have[k], func(v *int) *int { return v })); n != len(want[k]) || !maps.Equal(got, want[k]) {
			t.Fatalf("%v, want %v", got, want[k])
		}
	}
}
