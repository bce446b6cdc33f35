package apiserver

import (
	"slices"
	"sort"

	"k8s.io/apimachinery/pkg/watch"
)

// An event is one change of one object.
type event struct {
	typ watch.EventType
	rv  uint64
	now *entry // the object after the change; for a deletion, as it was but with the version of its deletion
	was *entry // before the change; nil for an addition
}

// A history is the bounded memory of one resource's changes: a ring that every watcher reads at its own pace. One append wakes all of
// them; none has a queue of its own, so ten thousand objects and a hundred watchers cost one ring. A watcher that falls out of
// the ring is told so and must list again, which is what "410 Gone" means.
type history struct {
	ring  []event
	limit int
	next  uint64 // position of the next event; event i is ring[i % limit]
	kept  int    // how many events before next are still there
	gone  uint64 // resource version of the newest event that is forgotten
	wake  chan struct{}
}

func newHistory(limit int, rv uint64) *history {
	return &history{limit: limit, gone: rv, wake: make(chan struct{})}
}

func (h *history) add(e event) {
	if len(h.ring) < h.limit {
		h.ring = append(h.ring, e)
	} else {
		slot := &h.ring[h.next%uint64(h.limit)]
		if h.kept == h.limit {
			h.gone = slot.rv
			h.kept--
		}
		*slot = e
	}
	h.next++
	h.kept++
	close(h.wake)
	h.wake = make(chan struct{})
}

// forget drops everything, as a compaction of etcd does. The ring's storage stays in place, for positions point into it.
func (h *history) forget(rv uint64) {
	h.gone, h.kept = rv, 0
	for i := range h.ring {
		h.ring[i].now, h.ring[i].was = nil, nil
	}
}

// after is the position of the first event later than rv; false if events later than rv have been forgotten.
func (h *history) after(rv uint64) (uint64, bool) {
	if rv < h.gone {
		return 0, false
	}
	first := h.next - uint64(h.kept)
	i := sort.Search(h.kept, func(i int) bool { return h.ring[(first+uint64(i))%uint64(h.limit)].rv > rv })
	return first + uint64(i), true
}

// from is up to n events from that position on; false if the position has fallen out of the ring.
func (h *history) from(position uint64, n int) ([]event, bool) {
	behind := int(h.next - position)
	if behind > h.kept {
		return nil, false
	}
	batch := make([]event, 0, min(n, behind))
	for ; behind > 0 && len(batch) < n; behind-- {
		batch = append(batch, h.ring[position%uint64(h.limit)])
		position++
	}
	return slices.Clip(batch), true
}
