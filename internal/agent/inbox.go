package agent

import (
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

// change is one object of the model before and after.
type change struct {
	ref      model.Ref
	old, new model.Object // nil: absent
}

// apply brings the news into the model and lists what changed.
func (n news) apply(m *model.Model) []change {
	var list []change
	for kind, all := range n.replace {
		for _, r := range m.Refs(kind) {
			if !all[r] {
				if _, later := n.latest[r]; !later {
					list = append(list, change{ref: r, old: m.Delete(r)})
				}
			}
		}
	}
	for r, o := range n.latest {
		c := change{ref: r, new: o}
		if o == nil {
			if c.old = m.Delete(r); c.old == nil {
				continue
			}
		} else {
			// Status heartbeats and lists after a reconnect repeat what we know.
			if c.old = m.Put(o); reflect.DeepEqual(c.old, o) {
				continue
			}
		}
		list = append(list, c)
	}
	return list
}

// Nudge wakes the thinking goroutine without news: a source has just become whole.
func (b *Inbox) Nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signal()
}
