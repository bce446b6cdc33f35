package observe

import (
	"sync"
	"time"

	"kube-router/internal/flow"
)

// Ring holds the latest flows. It is safe for many goroutines.
type Ring struct {
	mu    sync.Mutex
	size  uint64
	slots []flow.Flow // up to so many
	next  uint64      // number of the flow that comes next; the first is 1
	open  map[uint32]uint64
	loss  [flow.RingLoss + 1]uint64 // number of the latest record of each source's losses
}

// NewRing makes a ring of a size, 1 at least.
func NewRing(size int) *Ring {
	return &Ring{size: uint64(max(size, 1)), next: 1, open: map[uint32]uint64{}}
}

// slot is where the flow of a number is, or would be.
func (r *Ring) slot(n uint64) int { return int((n - 1) % r.size) }

// at is the slot of a number, or nil if it has been overwritten.
func (r *Ring) at(n uint64) *flow.Flow {
	if n == 0 || n >= r.next {
		return nil
	}
	if s := &r.slots[r.slot(n)]; s.Number == n {
		return s
	}
	return nil
}

// Add takes flows. Those with an identifier can be ended later.
func (r *Ring) Add(list ...flow.Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		r.add(&list[i])
	}
}

func (r *Ring) add(f *flow.Flow) {
	at := r.slot(r.next)
	if at == len(r.slots) {
		r.slots = append(r.slots, flow.Flow{})
	}
	s := &r.slots[at]
	if s.ID != 0 && r.open[s.ID] == s.Number {
		delete(r.open, s.ID)
	}
	*s = *f
	s.Number = r.next
	if f.ID != 0 && f.Ended.IsZero() {
		r.open[f.ID] = r.next
	}
	r.next++
}

// End notes the end of a flow whose beginning is here, with what went each way, and gives the whole; nil if it isn't here.
func (r *Ring) End(end *flow.Flow) *flow.Flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.open[end.ID]
	if !ok {
		return nil
	}
	delete(r.open, end.ID)
	s := r.at(n)
	if s == nil || s.Src != end.Src || s.Dst != end.Dst || s.Protocol != end.Protocol {
		return nil
	}
	s.Ended, s.Out, s.In = end.Ended, end.Out, end.In
	whole := *s
	return &whole
}

// Again counts another try of what was ended, if its record is still here.
func (r *Ring) Again(number uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at(number)
	if s != nil {
		s.Times++
	}
	return s != nil
}

// Put adds one flow and tells its number.
func (r *Ring) Put(f flow.Flow) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&f)
	return r.next - 1
}

// Lose notes that events were lost: one record a second and source, whose number grows.
func (r *Ring) Lose(source flow.Source, n uint64, now time.Time) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.at(r.loss[source]); s != nil && s.Lost > 0 && now.Sub(s.Time) < time.Second {
		s.Lost += n
		return
	}
	r.loss[source] = r.next
	r.add(&flow.Flow{Time: now, Lost: n, Loss: source})
}

// Read gives flows with a number above a cursor, oldest first, limit at most, and the number to go on from; more says that there may be others.
// What has been overwritten since the cursor is a record of its own, at the front.
func (r *Ring) Read(after uint64, since time.Time, limit int, matches func(*flow.Flow) bool) (list []flow.Flow, next uint64, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.first()
	if after > 0 && after+1 < first {
		list = append(list, flow.Flow{Time: r.at(first).Time, Lost: first - after - 1, Loss: flow.RingLoss})
	}
	n := max(first, after+1)
	for ; n < r.next && len(list) < limit; n++ {
		if s := r.at(n); !s.Time.Before(since) && matches(s) {
			list = append(list, *s)
		}
	}
	return list, n - 1, n < r.next
}

// first is the number of the oldest flow that is here.
func (r *Ring) first() uint64 {
	if r.next > r.size {
		return r.next - r.size
	}
	return 1
}

// mark is where and when a flow is.
type mark struct {
	when   time.Time
	number uint64
}

// last are the places of the latest flows that match, latest first; losses aren't among them.
func (r *Ring) last(n int, since time.Time, matches func(*flow.Flow) bool) (list []mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := r.next - 1; at >= r.first() && len(list) < n; at-- {
		s := r.at(at)
		if s.Time.Before(since) {
			break
		}
		if s.Lost == 0 && matches(s) {
			list = append(list, mark{s.Time, at})
		}
	}
	return list
}

// end is the number of the latest flow.
func (r *Ring) end() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}
