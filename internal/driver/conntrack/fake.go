package conntrack

import (
	"slices"
	"sync"
)

// Fake is a kernel's table of flows in memory. It may be used by many goroutines.
type Fake struct {
	mu    sync.Mutex
	flows []Flow
	next  uint32
	asked []Filter
	err   error
}

// NewFake makes an empty table.
func NewFake() *Fake { return &Fake{} }

// Add makes a flow, as a packet would, and returns it with the identity that the kernel gives. Two flows
// never share a tuple.
func (f *Fake) Add(w Flow) Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	w.ID = f.next
	f.flows = slices.DeleteFunc(f.flows, func(o Flow) bool { return o.Protocol == w.Protocol && o.Orig == w.Orig })
	f.flows = append(f.flows, w)
	return w
}

// All are the flows, in the order in which they began.
func (f *Fake) All() []Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.flows)
}

// Asked are the filters of all look-ups so far.
func (f *Fake) Asked() []Filter {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Break makes every operation fail with err; nil fixes.
func (f *Fake) Break(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Flows calls each for every flow that the filter selects.
func (f *Fake) Flows(by Filter, each func(Flow)) error {
	f.mu.Lock()
	f.asked = append(f.asked, by)
	flows, err := slices.Clone(f.flows), f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for _, w := range flows {
		if by.matches(w) {
			each(w)
		}
	}
	return nil
}

// Delete ends flows, each exactly: who answers counts as in the kernel, see Socket.Delete.
func (f *Fake) Delete(flows ...Flow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && len(flows) > 0 {
		return f.err
	}
	for _, w := range flows {
		f.flows = slices.DeleteFunc(f.flows, func(o Flow) bool {
			return o.Protocol == w.Protocol && o.Orig == w.Orig && o.Reply == w.Reply && (w.ID == 0 || w.ID == o.ID)
		})
	}
	return nil
}
