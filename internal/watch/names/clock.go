package names

import (
	"container/heap"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"kube-router/internal/model"
)

// Run keeps the time of every address until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		next := w.expire(time.Now())
		timer := time.NewTimer(max(time.Until(next), 10*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (w *Watch) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// idle is when the clock looks again where nothing is due.
const idle = time.Hour

// expire ends the time of addresses, and tells when it is to be asked again.
func (w *Watch) expire(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.due) > 0 && !w.due[0].next.After(now) {
		w.pass(w.due[0], now)
	}
	if w.journal.grown(w.total()) {
		w.journal.rewrite(w.lines(), w.log)
	}
	if len(w.due) == 0 {
		return now.Add(idle)
	}
	return w.due[0].next
}

// pass brings one name to the present.
func (w *Watch) pass(n *name, now time.Time) {
	for a, l := range n.addrs {
		switch {
		case !l.lapsed && !l.until.After(now):
			*l = life{until: l.until, lapsed: true}
			n.count--
			for _, p := range n.patterns {
				p.addrs--
				p.lapsed++
			}
		case l.lapsed && !l.until.Add(lapsedFor).After(now):
			delete(n.addrs, a)
			for _, p := range n.patterns {
				p.lapsed--
			}
		}
	}
	w.tell(n)
	for _, p := range n.patterns {
		if p.lapsed > lapsedMost {
			w.clear(p)
		}
	}
}

// tell tells of a name as it is now.
func (w *Watch) tell(n *name) {
	if len(n.addrs) == 0 {
		w.drop(n)
		return
	}
	w.due.set(n, n.soonest())
	w.inbox.Put(n.domain())
	n.tell()
}

// clear forgets what counted once, of all names of a pattern: where it has become so much, at most once in so many addresses.
func (w *Watch) clear(p *pattern) {
	for n := range p.names {
		gone := 0
		for a, l := range n.addrs {
			if l.lapsed {
				delete(n.addrs, a)
				gone++
			}
		}
		for _, p := range n.patterns {
			p.lapsed -= gone
		}
		if gone > 0 {
			w.tell(n)
		}
	}
}

func (n *name) recount() {
	n.count = 0
	for _, l := range n.addrs {
		if !l.lapsed {
			n.count++
		}
	}
}

// soonest is when something of a name changes.
func (n *name) soonest() (next time.Time) {
	for _, l := range n.addrs {
		at := l.until
		if l.lapsed {
			at = at.Add(lapsedFor)
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// domain is the name as the network is told of it.
func (n *name) domain() *model.Domain {
	d := &model.Domain{Name: n.text}
	for a, l := range n.addrs {
		if l.lapsed {
			d.Lapsed = append(d.Lapsed, a)
		} else {
			d.Addrs = append(d.Addrs, a)
		}
	}
	slices.SortFunc(d.Addrs, netip.Addr.Compare)
	slices.SortFunc(d.Lapsed, netip.Addr.Compare)
	return d
}

// schedule are names by when something of them changes.
type schedule []*name

// Len, Less, Swap, Push and Pop are heap.Interface.
func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

// Push appends.
func (s *schedule) Push(x any) {
	n := x.(*name)
	n.place = len(*s)
	*s = append(*s, n)
}

// Pop takes the last.
func (s *schedule) Pop() any {
	old := *s
	n := old[len(old)-1]
	n.place = -1
	*s = old[:len(old)-1]
	return n
}

func (s *schedule) set(n *name, next time.Time) {
	n.next = next
	if n.place < 0 {
		heap.Push(s, n)
		return
	}
	heap.Fix(s, n.place)
}

func (s *schedule) remove(n *name) {
	if n.place >= 0 {
		heap.Remove(s, n.place)
	}
}

// Stats are what became of answers, and what is known.
type Stats struct {
	Learned, Known, Others uint64 // answers: that told something new; that didn't; about names that no policy names
	Unread                 uint64 // packets and answers that can't be read, or that tell of no address
	Barred                 uint64 // addresses that no name may open
	Beyond                 uint64 // addresses beyond the bounds
	Held                   uint64 // answers that had to wait
	HeldFor                time.Duration
	Late                   uint64 // answers that went on before what they told was in force
	Names, Addrs           int
}

func (w *Watch) unread(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !errors.Is(err, errNoAnswer) {
		w.stats.Unread++
	}
}

// Stats gives the numbers of now.
func (w *Watch) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Names = len(w.known)
	for _, n := range w.known {
		s.Addrs += n.count
	}
	return s
}

// Known is an address that a name stands for.
type Known struct {
	Name   string
	Addr   netip.Addr
	Until  time.Time
	Lapsed bool // Until is over
}

// List is what is known, by name and address.
func (w *Watch) List() []Known {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Known
	for _, n := range w.known {
		for a, l := range n.addrs {
			list = append(list, Known{n.text, a, l.until, l.lapsed})
		}
	}
	slices.SortFunc(list, func(a, b Known) int {
		if a.Name != b.Name {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}
		return a.Addr.Compare(b.Addr)
	})
	return list
}

// Over are the patterns whose names have more addresses than are opened.
func (w *Watch) Over() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for text, p := range w.patterns {
		if p.addrs >= MostOfPattern {
			list = append(list, text)
		}
	}
	slices.Sort(list)
	return list
}

func (w *Watch) total() int {
	total := 0
	for _, p := range w.patterns {
		total += p.addrs + p.lapsed
	}
	return total
}

func (w *Watch) lines() (list []line) {
	for _, n := range w.known {
		for a, l := range n.addrs {
			list = append(list, line{n.text, a, l.until})
		}
	}
	return list
}
