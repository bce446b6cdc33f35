package think

import (
	"maps"
	"reflect"
	"sync"

	"kube-router/internal/model"
)

// Inbox takes what the sources report until the thinking goroutine collects it. It is safe for many
// goroutines. Several changes of one object that arrive between two collections become one.
type Inbox struct {
	mu      sync.Mutex
	latest  map[model.Ref]model.Object // nil: deleted
	replace map[model.Kind]map[model.Ref]bool
	wake    chan struct{}
}

// NewInbox makes an empty inbox.
func NewInbox() *Inbox {
	return &Inbox{
		latest:  map[model.Ref]model.Object{},
		replace: map[model.Kind]map[model.Ref]bool{},
		wake:    make(chan struct{}, 1),
	}
}

// Put reports an object that is new or changed.
func (b *Inbox) Put(o model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[o.Ref()] = o
	b.signal()
}

// Delete reports that an object is gone.
func (b *Inbox) Delete(r model.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[r] = nil
	b.signal()
}

// Replace reports all objects of a kind: those not among them are gone.
func (b *Inbox) Replace(k model.Kind, objects []model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.latest {
		if r.Kind == k {
			delete(b.latest, r)
		}
	}
	all := make(map[model.Ref]bool, len(objects))
	for _, o := range objects {
		all[o.Ref()] = true
		b.latest[o.Ref()] = o
	}
	b.replace[k] = all
	b.signal()
}

func (b *Inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// news is what an inbox held when it was collected.
type news struct {
	latest  map[model.Ref]model.Object
	replace map[model.Kind]map[model.Ref]bool
}

// collect empties the inbox.
func (b *Inbox) collect() news {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := news{b.latest, b.replace}
	b.latest = map[model.Ref]model.Object{}
	b.replace = map[model.Kind]map[model.Ref]bool{}
	return n
}

// Change is one object of the model before and after.
type Change struct {
	Ref      model.Ref
	Old, New model.Object // nil: absent
}

func emptyNews() news {
	return news{latest: map[model.Ref]model.Object{}, replace: map[model.Kind]map[model.Ref]bool{}}
}

// merge puts later news over those that are left.
func (n *news) merge(later news) {
	if len(n.latest)+len(n.replace) == 0 {
		*n = later
		return
	}
	for kind, all := range later.replace {
		for r := range n.latest {
			if r.Kind == kind {
				delete(n.latest, r)
			}
		}
		n.replace[kind] = all
	}
	maps.Copy(n.latest, later.latest)
}

// apply brings news into the model until the time is over, and lists what changed. What is left waits for the next time.
func (n *news) apply(m *model.Model, over spent) []Change {
	for kind, all := range n.replace {
		for _, r := range m.Refs(kind) {
			if _, later := n.latest[r]; !all[r] && !later {
				n.latest[r] = nil
			}
		}
		delete(n.replace, kind)
	}
	var list []Change
	for r, o := range n.latest {
		delete(n.latest, r)
		if c, ok := put(m, r, o); ok {
			list = append(list, c)
		}
		if over() {
			break
		}
	}
	if len(n.latest) == 0 {
		n.latest = map[model.Ref]model.Object{} // a map never shrinks
	}
	return list
}

// put brings one object into the model, and tells whether that changes it.
func put(m *model.Model, r model.Ref, o model.Object) (Change, bool) {
	c := Change{Ref: r, New: o}
	if o == nil {
		c.Old = m.Delete(r)
		return c, c.Old != nil
	}
	c.Old = m.Put(o)
	// Status heartbeats and lists after a reconnect repeat what we know.
	return c, !reflect.DeepEqual(c.Old, o)
}

// Nudge wakes the thinking goroutine without news: a source has just become whole.
func (b *Inbox) Nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signal()
}
