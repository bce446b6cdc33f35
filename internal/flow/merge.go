package flow

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// apart is how far two nodes' times of one flow may differ: their clocks do, and one of them may have been busy.
const apart = 5 * time.Second

// wire is what bears a flow from one node to the next: its addresses as they are between them.
type wire struct {
	protocol uint8
	from, to netip.AddrPort
}

// comes is how a flow comes to the node that saw it, leaves how it leaves it, turned round by the answer's addresses.
func (f *Flow) comes() wire {
	if f.Front.IsValid() {
		return wire{f.Protocol, f.Src, f.Front}
	}
	return wire{f.Protocol, f.Src, f.Dst}
}

func (f *Flow) leaves() wire {
	if f.Seen.IsValid() {
		return wire{f.Protocol, f.Seen, f.Dst}
	}
	return wire{f.Protocol, f.Src, f.Dst}
}

// part is what one node saw of a flow.
type part struct {
	Record
	flow Flow
}

// whole is a flow of the parts that have come.
type whole struct {
	parts   []part
	time    time.Time // of the earliest
	came    time.Time
	told    bool
	dropped bool // as it was told
	gone    bool // its parts are another's
}

// Merge puts together what several nodes saw of one flow: where it leaves one node as it comes to another, about the same time, it is one. What ended it counts
// for more than what let it pass, the destination's node for more than the source's.
type Merge struct {
	list []*whole // as they came
	at   map[wire]*whole
}

// NewMerge makes an empty one.
func NewMerge() *Merge { return &Merge{at: map[wire]*whole{}} }

// Add takes a part, at a time of the caller's. Records that are no flows are not for it.
func (m *Merge) Add(r Record, now time.Time) error {
	f, err := r.Read()
	if err != nil {
		return err
	}
	p := part{r, f}
	w := m.fitting(p)
	if w == nil {
		w = &whole{time: r.Time, came: now}
		m.list = append(m.list, w)
	}
	w.add(p)
	m.at[f.comes()], m.at[f.leaves()] = w, w
	return nil
}

// fitting is the flow that a part belongs to; where it is what two have in common, they become one.
func (m *Merge) fitting(p part) *whole {
	a, b := m.at[p.flow.leaves()], m.at[p.flow.comes()]
	if a != nil && !a.fits(p) {
		a = nil
	}
	if b != nil && !b.fits(p) {
		b = nil
	}
	switch {
	case a == nil:
		return b
	case b == nil || a == b:
		return a
	}
	for _, other := range b.parts {
		if !a.fits(other) {
			return a
		}
	}
	for _, other := range b.parts {
		a.add(other)
		m.at[other.flow.comes()], m.at[other.flow.leaves()] = a, a
	}
	b.gone = true
	return a
}

func (w *whole) fits(p part) bool {
	return p.Time.Sub(w.time).Abs() <= apart && !slices.ContainsFunc(w.parts, func(o part) bool { return o.NodeName == p.NodeName })
}

func (w *whole) add(p part) {
	w.parts = append(w.parts, p)
	if p.Time.Before(w.time) {
		w.time = p.Time
	}
}

// Take gives the flows that are settled by the caller's lights, by the time of their earliest part or that at which it was added, in the order of their times.
// They are remembered a little longer: a late part is told only where it changes the verdict.
func (m *Merge) Take(settled func(seen, came time.Time) bool) []Record {
	var ready []Record
	last := time.Time{}
	for _, w := range m.list {
		if last.Before(w.time) {
			last = w.time
		}
		if w.gone || w.told && w.dropped || !settled(w.time, w.came) {
			continue
		}
		r, dropped := w.record()
		if !w.told || dropped {
			ready = append(ready, r)
		}
		w.told, w.dropped = true, dropped
	}
	m.list = slices.DeleteFunc(m.list, func(w *whole) bool {
		old := w.gone || w.told && w.time.Before(last.Add(-apart))
		if old {
			m.forget(w)
		}
		return old
	})
	slices.SortStableFunc(ready, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return ready
}

func (m *Merge) forget(w *whole) {
	for _, p := range w.parts {
		for _, k := range []wire{p.flow.comes(), p.flow.leaves()} {
			if m.at[k] == w {
				delete(m.at, k)
			}
		}
	}
}

// weight says whose verdict counts.
func (p *part) weight() int {
	n := map[Direction]int{Ingress: 2, Egress: 1}[p.flow.Direction]
	if p.flow.Reason != Passed {
		n += 4
	}
	return n
}

// record is what the parts make together, and whether it was ended.
func (w *whole) record() (Record, bool) {
	best := slices.MaxFunc(w.parts, func(a, b part) int { return cmp.Compare(a.weight(), b.weight()) })
	r := best.Record
	if len(w.parts) == 1 {
		return r, best.flow.Reason != Passed
	}
	body, own := *r.Flow, *r.Own
	r.Flow, r.Own = &body, &own
	for _, p := range w.parts {
		own.SeenBy = append(own.SeenBy, p.NodeName)
		w.client(&p, &r)
		w.server(&p, &r)
		if p.flow.Front.IsValid() && own.Frontend == "" || p.Flow.Service != nil && body.Service == nil {
			own.Frontend, own.Port, body.Service = p.Own.Frontend, p.Own.Port, p.Flow.Service
		}
		if own.Ended == nil && p.Own.Ended != nil && body.Verdict == Forwarded {
			own.Ended, own.PacketsOut, own.BytesOut, own.PacketsIn, own.BytesIn = p.Own.Ended, p.Own.PacketsOut, p.Own.BytesOut, p.Own.PacketsIn, p.Own.BytesIn
		}
		if own.Gateway == "" {
			own.Gateway, own.LeavesAs = p.Own.Gateway, p.Own.LeavesAs
		}
		if p.flow.Seen.IsValid() {
			own.Seen = p.Own.Seen
		}
	}
	slices.Sort(own.SeenBy)
	return r, best.flow.Reason != Passed
}

// client takes the client from a part if no other node sent it on to there from another address.
func (w *whole) client(p *part, r *Record) {
	for _, o := range w.parts {
		if o.NodeName != p.NodeName && o.flow.leaves() == p.flow.comes() && o.flow.comes() != p.flow.comes() {
			return
		}
	}
	if r.Flow.Source.Pod != "" && p.Flow.Source.Pod == "" {
		return
	}
	r.Flow.Source, r.Flow.IP.Source, r.Own.SourceNode = p.Flow.Source, p.Flow.IP.Source, p.Own.SourceNode
	setPorts(r, func(n *Ports) { n.Source = p.flow.Src.Port() })
}

// server takes the server from a part if it sent the flow on to no other address.
func (w *whole) server(p *part, r *Record) {
	for _, o := range w.parts {
		if o.NodeName != p.NodeName && p.flow.leaves() == o.flow.comes() && o.flow.leaves().to != p.flow.leaves().to {
			return
		}
	}
	if r.Flow.Destination.Pod != "" && p.Flow.Destination.Pod == "" {
		return
	}
	r.Flow.Destination, r.Flow.IP.Destination, r.Own.DestNode = p.Flow.Destination, p.Flow.IP.Destination, p.Own.DestNode
	setPorts(r, func(n *Ports) { n.Destination = p.flow.Dst.Port() })
}

// setPorts changes the ports of a copy.
func setPorts(r *Record, set func(*Ports)) {
	l := r.Flow.L4
	if l == nil {
		return
	}
	c := *l
	for _, p := range []**Ports{&c.TCP, &c.UDP, &c.SCTP} {
		if *p != nil {
			n := **p
			set(&n)
			*p = &n
		}
	}
	r.Flow.L4 = &c
}
