package observe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/nfnetlink/nflog"
	"kube-router/internal/flow"
)

// Options are what a recorder goes by.
type Options struct {
	Node         string
	Flows, Drops int    // how long the rings are
	Rate         int    // events a second that are taken; what is more is counted as lost
	Finest       Finest // how finely flows are counted for metrics
	Series       int    // in how many series at most
	Sample       uint32 // one flow of so many is kept, the same on every node; 1: every one
}

// Recorder turns what drivers report into flows with names.
type Recorder struct {
	o            Options
	Names        *Names
	Tally        *Tally
	Export       *Export // nil: flows are sent nowhere
	flows, drops *Ring

	// Service is the Service with a frontend, if there is one.
	Service func(at netip.AddrPort, protocol uint8) *flow.Service
	// Explain tells which policies ended flows, in place.
	Explain func(ctx context.Context, list []flow.Flow) error

	// Link is the name of a link by its index; empty: it has gone.
	Link func(index uint32) string

	begin  time.Time
	second int64 // of the rate
	taken  int   // in that second

	queue chan []nflog.Drop
	tries map[tried]seen

	Seen, Lost, Dropped atomic.Uint64 // flows and drops that were taken, and events that were lost
	mu                  sync.Mutex
	troubles            map[string]string // why a source is silent
}

// tried is what makes drops one record.
type tried struct {
	src, dst netip.AddrPort
	protocol uint8
	prefix   string
}

// seen is where such a record is.
type seen struct {
	number uint64
	since  time.Time
}

// Of what was ended a second record comes after a minute.
const minute = time.Minute

// pending is how many batches of drops may wait for their names.
const pending = 256

// NewRecorder makes a recorder.
func NewRecorder(o Options) *Recorder {
	return &Recorder{o: o, Names: NewNames(o.Node), Tally: NewTally(o.Finest, o.Series), flows: NewRing(o.Flows), drops: NewRing(o.Drops), begin: time.Now(),
		queue: make(chan []nflog.Drop, pending), tries: map[tried]seen{}, troubles: map[string]string{}}
}

// Silent notes why a source of events can't be heard; nil: it can. It tells whether that is news.
func (r *Recorder) Silent(source string, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.troubles[source]
	delete(r.troubles, source)
	if err != nil {
		r.troubles[source] = err.Error()
	}
	return r.troubles[source] != before
}

// Troubles are the sources that can't be heard, each with why, sorted.
func (r *Recorder) Troubles() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for source, why := range r.troubles {
		list = append(list, source+": "+why)
	}
	slices.Sort(list)
	return list
}

// room is how many of n events may be taken in this second.
func (r *Recorder) room(n int, now time.Time) int {
	if s := now.Unix(); s != r.second {
		r.second, r.taken = s, 0
	}
	free := min(n, max(r.o.Rate-r.taken, 0))
	r.taken += free
	return free
}

// Tracked takes events of connection tracking, from one goroutine.
func (r *Recorder) Tracked(events []conntrack.Event) {
	now := time.Now()
	begun := make([]flow.Flow, 0, len(events))
	take, over := r.room(len(events), now), uint64(0)
	for i := range events {
		e := &events[i]
		if local(e) || !r.sampled(e) {
			continue
		}
		if i >= take {
			over++
			continue
		}
		f := r.flow(e, now)
		if e.Ended {
			f.Ended, f.Out, f.In = now, flow.Count(e.Orig), flow.Count(e.Back)
			if i := slices.IndexFunc(begun, func(b flow.Flow) bool { return b.ID == f.ID && b.Src == f.Src && b.Dst == f.Dst }); i >= 0 {
				begun[i].Ended, begun[i].Out, begun[i].In = f.Ended, f.Out, f.In
				r.Export.Take(begun[i])
				continue
			}
			if whole := r.flows.End(&f); whole != nil {
				r.Export.Take(*whole)
				continue
			}
			r.Export.Take(f)
		}
		begun = append(begun, f)
	}
	r.Seen.Add(uint64(len(begun)))
	r.flows.Add(begun...)
	r.Tally.Add(begun...)
	r.lose(r.flows, flow.QueueLoss, over)
}

// local tells what never leaves this node's own loopback.
func local(e *conntrack.Event) bool {
	return e.Flow.Orig.Src.Addr().IsLoopback() && e.Flow.Reply.Src.Addr().IsLoopback()
}

// sampled chooses by the addresses that every node sees alike.
func (r *Recorder) sampled(e *conntrack.Event) bool {
	if r.o.Sample <= 1 {
		return true
	}
	h := uint32(2166136261)
	add := func(a netip.AddrPort) {
		for _, b := range a.Addr().As16() {
			h = (h ^ uint32(b)) * 16777619
		}
		h = (h ^ uint32(a.Port())) * 16777619
	}
	add(e.Flow.Reply.Src)
	add(e.Flow.Reply.Dst)
	return h%r.o.Sample == 0
}

// LostEvents counts what the kernel could not hand over.
func (r *Recorder) LostEvents(n uint64) { r.lose(r.flows, flow.KernelLoss, n) }

// LostDrops does the same for what rules log.
func (r *Recorder) LostDrops(n uint64) { r.lose(r.drops, flow.KernelLoss, n) }

func (r *Recorder) lose(ring *Ring, source flow.Source, n uint64) {
	r.Lost.Add(n)
	ring.Lose(source, n, time.Now())
}

func (r *Recorder) flow(e *conntrack.Event, now time.Time) flow.Flow {
	w := &e.Flow
	f := flow.Flow{Time: now, ID: w.ID, Protocol: w.Protocol, Src: w.Orig.Src, Dst: w.Reply.Src, Seen: w.Reply.Dst, ICMPType: w.ICMPType, ICMPCode: w.ICMPCode}
	if w.Orig.Dst != w.Reply.Src {
		f.Front = w.Orig.Dst
		f.Service = r.Service(f.Front, f.Protocol)
	}
	r.name(&f)
	if f.Seen.Addr() != f.Src.Addr() {
		f.Gateway = r.Names.Gateway(f.Seen.Addr())
	}
	return f
}

// name finds out who has a flow's addresses, and how it goes.
func (r *Recorder) name(f *flow.Flow) {
	f.Source, f.Dest = r.Names.Of(f.Src.Addr()), r.Names.Of(f.Dst.Addr())
	switch {
	case f.Direction != flow.Through:
	case f.Dest.Here:
		f.Direction = flow.Ingress
	case f.Source.Here:
		f.Direction = flow.Egress
	}
}

// Logged takes what rules logged. What can't be named soon enough is lost, never waited for.
func (r *Recorder) Logged(list []nflog.Drop) {
	select {
	case r.queue <- list:
	default:
		r.lose(r.drops, flow.QueueLoss, uint64(len(list)))
	}
}

// Run names drops until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case list := <-r.queue:
			for more := true; more && len(list) < 1024; {
				select {
				case other := <-r.queue:
					list = append(list, other...)
				default:
					more = false
				}
			}
			r.ended(ctx, list)
		}
	}
}

// ended puts drops into their ring: each tuple once a minute, with how often it was tried.
func (r *Recorder) ended(ctx context.Context, list []nflog.Drop) {
	now := time.Now()
	if uint64(len(r.tries)) > 2*r.drops.size {
		clear(r.tries)
	}
	var fresh []flow.Flow
	var keys []tried
	for _, d := range list {
		key := tried{netip.AddrPortFrom(d.Src, d.SrcPort), netip.AddrPortFrom(d.Dst, d.DstPort), d.Protocol, d.Prefix}
		if old, ok := r.tries[key]; ok && now.Sub(old.since) < minute && (old.number == 0 && again(fresh, keys, key) || r.drops.Again(old.number)) {
			continue
		}
		r.tries[key] = seen{0, now}
		fresh, keys = append(fresh, r.drop(&d)), append(keys, key)
	}
	r.Dropped.Add(uint64(len(fresh)))
	if err := r.Explain(ctx, fresh); err != nil {
		r.Silent("policies", fmt.Errorf("drops have no names of policies: %w", err))
	} else {
		r.Silent("policies", nil)
	}
	r.Tally.Add(fresh...)
	r.Export.Take(fresh...)
	for i := range fresh {
		r.tries[keys[i]] = seen{r.drops.Put(fresh[i]), now}
	}
}

// again counts another try among those that are being named.
func again(fresh []flow.Flow, keys []tried, key tried) bool {
	i := slices.Index(keys, key)
	if i >= 0 {
		fresh[i].Times++
	}
	return i >= 0
}

// drop is what a logged packet was the beginning of, but for the policies.
func (r *Recorder) drop(d *nflog.Drop) flow.Flow {
	f := flow.Flow{Time: d.Time, Protocol: d.Protocol, Src: netip.AddrPortFrom(d.Src, d.SrcPort), Dst: netip.AddrPortFrom(d.Dst, d.DstPort), Times: 1, Flags: d.Flags,
		ICMPType: d.ICMPType, ICMPCode: d.ICMPCode}
	f.Reason, f.Direction = reasonOf(d.Prefix)
	switch f.Reason {
	case flow.NoEndpoint, flow.NoLocal, flow.SourceRange:
		f.Service = r.Service(f.Dst, f.Protocol)
	default:
		if d.Front.IsValid() {
			f.Front, f.Service = d.Front, r.Service(d.Front, f.Protocol)
		}
	}
	r.name(&f)
	if f.Reason == flow.Forged && d.Link != 0 {
		if o := r.Names.Port(r.Link(d.Link)); o != nil {
			f.Source, f.Direction = o, flow.Egress
		}
	}
	return f
}

// reasonOf reads the prefix with which a rule logs. What a pod's policies ended is told apart by them.
func reasonOf(prefix string) (flow.Reason, flow.Direction) {
	known := map[string]flow.Reason{
		"no endpoint": flow.NoEndpoint, "no port": flow.NoPort, "no local endpoint": flow.NoLocal, "source range": flow.SourceRange, "no gateway": flow.NoGateway,
		"clear": flow.ClearText, "from unknown": flow.UnknownSource, "to unknown": flow.UnknownAddress, "forged": flow.Forged,
		"no route": flow.NoRoute, "unreachable": flow.Unreachable,
	}
	if r, ok := known[prefix]; ok {
		return r, flow.Through
	}
	switch {
	case strings.HasPrefix(prefix, "to "):
		return flow.DefaultDeny, flow.Ingress
	case strings.HasPrefix(prefix, "from "):
		return flow.DefaultDeny, flow.Egress
	}
	return flow.Other, flow.Through
}
