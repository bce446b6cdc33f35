package think

import (
	"slices"
	"time"

	"kube-router/internal/model"
)

// queue holds the units that a stage has still to plan: each once, however often it was touched, since what is planned
// is what is true then. Units of a lower rank come first. Within a rank namespaces take turns, so that one's thousands
// keep nobody else waiting.
type queue struct {
	kinds []model.Kind        // of its units; what finds units for two stages may name those of both. nil: all
	rank  func(model.Ref) int // nil: all alike
	ranks []rota
	rests map[model.Ref]pause // units that took long
}

// pause is the time for which a unit that took long isn't planned again, so that whoever changes it all the time takes
// a part of the thinking only.
type pause struct {
	until time.Time
	again bool // it was touched meanwhile
}

func (q *queue) rest(u model.Ref, until time.Time) {
	if q.rests == nil {
		q.rests = map[model.Ref]pause{}
	}
	q.rests[u] = pause{until: until}
}

// rested brings back the units whose rest is over.
func (q *queue) rested(now time.Time) {
	for u, r := range q.rests {
		if now.Before(r.until) {
			continue
		}
		delete(q.rests, u)
		if r.again {
			q.add(u)
		}
	}
}

// due is when the first unit that waits for the end of its rest may be planned; zero: none does.
func (q *queue) due() (first time.Time) {
	for _, r := range q.rests {
		if r.again && (first.IsZero() || r.until.Before(first)) {
			first = r.until
		}
	}
	return first
}

func (q *queue) add(u model.Ref) {
	if q.kinds != nil && u != Everything && !slices.Contains(q.kinds, u.Kind) {
		return
	}
	if r, ok := q.rests[u]; ok {
		r.again = true
		q.rests[u] = r
		return
	}
	rank := 0
	if q.rank != nil {
		rank = q.rank(u)
	}
	for len(q.ranks) <= rank {
		q.ranks = append(q.ranks, rota{units: map[model.Ref]struct{}{}, of: map[string][]model.Ref{}})
	}
	q.ranks[rank].add(u)
}

// next takes the unit that is to be planned now.
func (q *queue) next() (model.Ref, bool) {
	for i := range q.ranks {
		if u, ok := q.ranks[i].next(); ok {
			return u, true
		}
	}
	return model.Ref{}, false
}

func (q *queue) len() int {
	n := 0
	for i := range q.ranks {
		n += len(q.ranks[i].units)
	}
	return n
}

// drop takes a unit out, and tells whether it was there.
func (q *queue) drop(u model.Ref) bool {
	for i := range q.ranks {
		if _, ok := q.ranks[i].units[u]; ok {
			delete(q.ranks[i].units, u)
			return true
		}
	}
	return false
}

// rota is a queue in which namespaces take turns.
type rota struct {
	units map[model.Ref]struct{}
	of    map[string][]model.Ref // by namespace, in the order in which they came; those not in units were dropped
	turns []string               // the namespaces that have some
}

func (r *rota) add(u model.Ref) {
	if _, ok := r.units[u]; ok {
		return
	}
	r.units[u] = struct{}{}
	space := u.Name.Namespace
	if len(r.of[space]) == 0 {
		r.turns = append(r.turns, space)
	}
	r.of[space] = append(r.of[space], u)
}

func (r *rota) next() (model.Ref, bool) {
	for len(r.turns) > 0 {
		space := r.turns[0]
		r.turns = r.turns[1:]
		list := r.of[space]
		u := list[0]
		if list = list[1:]; len(list) > 0 {
			r.of[space] = list
			r.turns = append(r.turns, space)
		} else {
			delete(r.of, space)
		}
		if _, ok := r.units[u]; ok {
			delete(r.units, u)
			return u, true
		}
	}
	return model.Ref{}, false
}
