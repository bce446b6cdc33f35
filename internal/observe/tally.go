package observe

import (
	"cmp"
	"slices"
	"sync"

	"kube-router/internal/flow"
)

// Finest is how finely flows are counted for metrics.
type Finest uint8

// How finely flows are counted.
const (
	Uncounted Finest = iota
	ByNamespace
	ByWorkload
)

// other is what stands for all that have no series of their own.
const other = "other"

// Peer is one end of a counted flow: a namespace and, where they are told apart, a workload. Who is no pod has no namespace, and "node" or "world" for a workload.
type Peer struct{ Namespace, Workload string }

// Counted is a number of flows from one peer to another.
type Counted struct {
	Source, Dest Peer
	Verdict      string
	Flows        uint64
}

// Tally counts flows by who talked to whom, in so many series at most: those that come when it is full are counted together. It is safe for many goroutines.
type Tally struct {
	finest Finest
	most   int

	mu     sync.Mutex
	counts map[pair]uint64
}

type pair struct {
	source, dest Peer
	verdict      string
}

// NewTally makes one that counts so finely, with so many series.
func NewTally(finest Finest, most int) *Tally {
	return &Tally{finest: finest, most: most, counts: map[pair]uint64{}}
}

// Add counts a flow, unless the other node that saw it counts it: that of the pod that answers.
func (t *Tally) Add(list ...flow.Flow) {
	if t.finest == Uncounted || len(list) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		f := &list[i]
		if f.Reason == flow.Passed && !f.Dest.Here && (f.Dest.Pod != "" || f.Dest.Node != "" || !f.Source.Here) {
			continue
		}
		k := pair{t.peer(f.Source), t.peer(f.Dest), f.Verdict()}
		if _, ok := t.counts[k]; !ok && len(t.counts) >= t.most {
			k = pair{Peer{other, other}, Peer{other, other}, f.Verdict()}
		}
		t.counts[k]++
	}
}

func (t *Tally) peer(o *flow.Owner) Peer {
	switch {
	case o.Pod != "" && t.finest == ByNamespace:
		return Peer{Namespace: o.Namespace}
	case o.Pod != "" && o.Workload == "":
		return Peer{o.Namespace, "none"}
	case o.Pod != "":
		return Peer{o.Namespace, o.Workload}
	case o.Node != "":
		return Peer{Workload: "node"}
	}
	return Peer{Workload: "world"}
}

// Counts are the series, in their order. There are two more of others at most.
func (t *Tally) Counts() []Counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Counted, 0, len(t.counts))
	for k, n := range t.counts {
		list = append(list, Counted{k.source, k.dest, k.verdict, n})
	}
	slices.SortFunc(list, func(a, b Counted) int {
		return cmp.Or(a.Source.compare(b.Source), a.Dest.compare(b.Dest), cmp.Compare(a.Verdict, b.Verdict))
	})
	return list
}

func (p Peer) compare(o Peer) int {
	return cmp.Or(cmp.Compare(p.Namespace, o.Namespace), cmp.Compare(p.Workload, o.Workload))
}
