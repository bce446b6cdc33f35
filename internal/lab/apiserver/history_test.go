package apiserver

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHistory walks through a ring of three events.
func TestHistory(t *testing.T) {
	h := newHistory(3, 10)
	versions := func(position uint64) (rvs []uint64) {
		events, ok := h.from(position, 10)
		if !ok {
			return []uint64{410}
		}
		for _, e := range events {
			rvs = append(rvs, e.rv)
		}
		return rvs
	}
	since := func(rv uint64) []uint64 {
		position, ok := h.after(rv)
		if !ok {
			return []uint64{410}
		}
		return versions(position)
	}
	gone := []uint64{410}
	check := func(what string, have, want []uint64) {
		t.Helper()
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", what, diff)
		}
	}
	check("empty", since(10), nil)
	check("before the beginning", since(9), gone)
	for _, rv := range []uint64{12, 15, 17} {
		h.add(event{rv: rv})
	}
	check("all", since(10), []uint64{12, 15, 17})
	check("between versions", since(13), []uint64{15, 17})
	h.add(event{rv: 20})
	check("one forgotten", since(11), gone)
	check("just in time", since(12), []uint64{15, 17, 20})
	check("fell out", versions(0), gone)
	h.forget(21)
	check("compacted", since(20), gone)
	check("up to date", since(21), nil)
	check("a reader at the end goes on", versions(4), nil)
	h.add(event{rv: 22})
	check("after the compaction", since(21), []uint64{22})
	check("the reader at the end sees it", versions(4), []uint64{22})
	check("a reader behind does not", versions(3), gone)
	for rv := range uint64(10) {
		h.add(event{rv: 30 + rv})
	}
	check("round and round", since(36), []uint64{37, 38, 39})
}
