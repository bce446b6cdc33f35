package page

import (
	"time"

	"kube-router/internal/flow"
)

const (
	mostWaiting  = 8192
	patience     = 800 * time.Millisecond // with the other node
	longPatience = 4 * time.Second        // with what nodes remember, which comes in one piece from each
	old          = 3 * time.Second        // of what is remembered
	together     = 30 * time.Second       // between the clocks of two nodes, at most
)

// half says which part of a connection a record is.
type half int

const (
	whole  half = iota
	client      // from the client's node: it knows the Service, and not what becomes of it
	end         // from the other node: it knows what became of it, and maybe not who asked for what
)

// halfOf tells whether another node has its own part to tell.
func halfOf(r flow.Record, l *Line) half {
	switch {
	case r.Flow.Direction != "INGRESS" && !l.ended() && l.Dest.Kind != "world":
		return client
	case r.Flow.Direction == "INGRESS" && l.Frontend == "" && l.Seen == "" && l.Source.Kind != "world":
		return end
	}
	return whole
}

// pairs puts the two halves of connections together, so that each is shown and counted once: as its end has it, with the Service that the client asked.
type pairs struct {
	waiting map[string]waiting // by tuple
	order   []queued           // in the order in which their patience ends, more or less
	done    recently           // tuples whose end was published: the other half comes too late
}

type waiting struct {
	line       Line
	half       half
	until      time.Time
	remembered bool // it is older than the page
}

type queued struct {
	tuple string
	until time.Time
}

func newPairs() *pairs { return &pairs{waiting: map[string]waiting{}} }

// take gives the lines that a record makes complete.
func (p *pairs) take(r flow.Record, now time.Time) (out []Line) {
	l := lineOf(r)
	h := halfOf(r, &l)
	if h == whole {
		return []Line{l}
	}
	key := l.tuple()
	other, ok := p.waiting[key]
	switch {
	case ok && other.half != h && other.line.Time.Sub(l.Time).Abs() < together:
		delete(p.waiting, key)
		if h == client {
			return []Line{joined(other.line, l)}
		}
		return []Line{joined(l, other.line)}
	case ok: // an earlier connection with the same ports
		out = append(out, p.alone(key, other)...)
	}
	w := waiting{l, h, now.Add(patience), now.Sub(l.Time) > old}
	if w.remembered {
		w.until = now.Add(longPatience)
	}
	p.waiting[key] = w
	p.order = append(p.order, queued{key, w.until})
	for len(p.order) > mostWaiting {
		out = append(out, p.first()...)
	}
	return out
}

// expire gives the lines that nobody completed in time.
func (p *pairs) expire(now time.Time) (out []Line) {
	for len(p.order) > 0 && !p.order[0].until.After(now) {
		out = append(out, p.first()...)
	}
	return out
}

// first takes the first of the queue.
func (p *pairs) first() []Line {
	q := p.order[0]
	p.order = p.order[1:]
	w, ok := p.waiting[q.tuple]
	if !ok || !w.until.Equal(q.until) {
		return nil // it has been completed, or is a later one
	}
	return p.alone(q.tuple, w)
}

// alone is what is shown of one half.
func (p *pairs) alone(tuple string, w waiting) []Line {
	delete(p.waiting, tuple)
	if w.half == end {
		p.done.seen(tuple)
		if w.remembered && !w.line.ended() {
			return nil // of what was before, nodes remember different stretches: without the client's half it would look as if no Service was asked
		}
		return []Line{w.line}
	}
	if p.done.has(tuple) {
		return nil
	}
	w.line.Verdict = sent
	return []Line{w.line}
}

// recently remembers the latest keys: at least half as many as it may hold.
type recently struct{ young, aged map[string]bool }

func (r *recently) has(key string) bool { return r.young[key] || r.aged[key] }

// seen tells whether the key has been seen, and remembers it.
func (r *recently) seen(key string) bool {
	if r.has(key) {
		return true
	}
	if len(r.young) >= mostWaiting || r.young == nil {
		r.aged, r.young = r.young, map[string]bool{}
	}
	r.young[key] = true
	return false
}
