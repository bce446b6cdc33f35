package page

import (
	"maps"
	"slices"
	"sync"
	"time"

	"kube-router/internal/flow"
)

const (
	kept      = 5000 // lines that are remembered for whoever opens the page
	mostBatch = 250  // lines in one message
	mostKnown = 8192 // identifiers that are remembered, at least
)

// hub takes what the source gives and keeps of it what a page shows.
type hub struct {
	mu       sync.Mutex
	lines    []Line // a ring; the line of number n, which is its id, is at n % kept
	next     uint64 // number of the line that comes next; numbers begin at 1
	graph    *graph
	known    recently          // by uuid: what is told again when nodes are followed anew
	troubles map[string]string // node → why it gives no flows
	notes    map[string]string // node → what it can't see
	lost     map[string]uint64 // by source
	heard    map[string]bool   // nodes that gave flows
	now      func() time.Time
}

func newHub() *hub {
	return &hub{next: 1, lines: make([]Line, 1, 64), graph: newGraph(), troubles: map[string]string{}, notes: map[string]string{},
		lost: map[string]uint64{}, heard: map[string]bool{}, now: time.Now}
}

// trouble notes why flows are missing that no node is to blame for.
func (h *hub) trouble(what, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.troubles[what] = why
}

// take is given every record, by any goroutine.
func (h *hub) take(r flow.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.NodeStatus != nil:
		for _, n := range r.NodeStatus.Nodes {
			h.status(n, r.NodeStatus)
		}
	case r.Lost != nil:
		h.lost[r.Lost.Source] += r.Lost.Number
	case r.Flow != nil && !h.known.seen(r.Flow.UUID):
		for _, n := range nodesOf(r) {
			h.heard[n] = true
		}
		if l := lineOf(r); !misleading(r, &l, h.now()) {
			h.publish(l)
		}
	}
}

// status notes whether a node gives flows, and what it can't see of them.
func (h *hub) status(node string, st *flow.NodeStatus) {
	switch st.Change {
	case "NODE_UNAVAILABLE":
		h.troubles[node] = st.Why
		delete(h.notes, node)
	case "NODE_ERROR":
		h.notes[node] = st.Why
	default:
		delete(h.troubles, node)
	}
}

// publish gives a line its number and a place in list and map.
func (h *hub) publish(l Line) {
	l.ID = h.next
	h.next++
	h.graph.add(&l)
	if at := int(l.ID % kept); at < len(h.lines) {
		h.lines[at] = l
	} else {
		h.lines = append(h.lines, l)
	}
}

// Batch is what a page gets of the flows at a time.
type Batch struct {
	Lines   []Line `json:"lines"`   // oldest first
	Skipped uint64 `json:"skipped"` // lines that are in the map and not in the list: too many at once
}

// since gives the lines behind a number, and the number to go on from. Where there are too many, what passed gives way to what was ended, older ones to
// newer ones.
func (h *hub) since(after uint64, most int) (b Batch, next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := after + 1
	if h.next > kept && first < h.next-kept {
		b.Skipped = h.next - kept - first
		first = h.next - kept
	}
	ends := 0
	for i := first; i < h.next; i++ {
		if h.lines[i%kept].ended() {
			ends++
		}
	}
	skipEnds := max(ends-most, 0)
	skipOthers := max(int(h.next-first)-ends-max(most-ends, 0), 0)
	b.Skipped += uint64(skipEnds + skipOthers)
	for i := first; i < h.next; i++ {
		l := &h.lines[i%kept]
		skip := &skipOthers
		if l.ended() {
			skip = &skipEnds
		}
		if *skip > 0 {
			*skip--
			continue
		}
		b.Lines = append(b.Lines, *l)
	}
	return b, h.next - 1
}

// State is what a page is told of the flows as a whole.
type State struct {
	Troubles map[string]string `json:"troubles"` // node → why it gives no flows
	Notes    map[string]string `json:"notes"`    // node → what it can't see
	Lost     map[string]uint64 `json:"lost"`     // source → events that were lost on the way
	Nodes    []string          `json:"nodes"`    // that gave flows
}

func (h *hub) state() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return State{maps.Clone(h.troubles), maps.Clone(h.notes), maps.Clone(h.lost), slices.Sorted(maps.Keys(h.heard))}
}

func (h *hub) snapshot(now time.Time, namespace string, shown map[string]Edge) Graph {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.graph.snapshot(now, namespace, shown)
}

// recently remembers the latest keys: between mostKnown and twice as many.
type recently struct{ young, aged map[string]bool }

// seen tells whether the key has been seen, and remembers it.
func (r *recently) seen(key string) bool {
	if r.young[key] || r.aged[key] {
		return true
	}
	if len(r.young) >= mostKnown || r.young == nil {
		r.aged, r.young = r.young, map[string]bool{}
	}
	r.young[key] = true
	return false
}
