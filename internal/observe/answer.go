package observe

import (
	"fmt"
	"slices"
	"time"

	"kube-router/internal/flow"
)

// page is how many records one answer has at most: a long answer is several, so that neither side holds all of it.
const page = 1000

// Recent are the latest drops, oldest first, and since when they are kept.
func (r *Recorder) Recent(most int) ([]flow.Flow, time.Time) {
	any := func(*flow.Flow) bool { return true }
	marks := r.drops.last(most, time.Time{}, any)
	if len(marks) == 0 {
		return nil, r.begin
	}
	list, _, _ := r.drops.Read(marks[len(marks)-1].number-1, time.Time{}, most, any)
	return list, r.begin
}

// Answer answers a question with both rings, by time.
func (r *Recorder) Answer(q flow.Question) (flow.Answer, error) {
	after, err := r.start(q)
	if err != nil {
		return flow.Answer{}, err
	}
	type placed struct {
		flow.Flow
		ring int
	}
	var list []placed
	var horizon time.Time // what is later in one ring waits for the other
	next := after
	more := false
	for i, ring := range []*Ring{r.flows, r.drops} {
		some, to, cut := ring.Read(after[i], q.Since, page, q.Filter.Matches)
		if next[i] = to; cut && len(some) > 0 {
			if last := some[len(some)-1].Time; horizon.IsZero() || last.Before(horizon) {
				horizon = last
			}
		}
		more = more || cut
		for _, f := range some {
			list = append(list, placed{f, i})
		}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return a.Time.Compare(b.Time) })
	records := make([]flow.Record, 0, len(list))
	for i := range list {
		f := &list[i]
		if horizon.IsZero() || !f.Time.After(horizon) {
			records = append(records, f.Record(r.o.Node))
			continue
		}
		next[f.ring] = min(next[f.ring], max(f.Number, after[f.ring]+1)-1)
	}
	return flow.Answer{Node: r.o.Node, Records: records, Next: fmt.Sprintf("%d.%d", next[0], next[1]), More: more}, nil
}

// start is where in each ring an answer begins.
func (r *Recorder) start(q flow.Question) (after [2]uint64, err error) {
	if q.From != "" {
		if _, err := fmt.Sscanf(q.From, "%d.%d", &after[0], &after[1]); err != nil {
			return after, fmt.Errorf("cursor %q: not one of ours", q.From)
		}
		return after, nil
	}
	if q.Last == 0 {
		return after, nil
	}
	// Losses don't match, so that they take nobody's place; those between what matches are told.
	flows, drops := r.flows.last(q.Last, q.Since, q.Filter.Matches), r.drops.last(q.Last, q.Since, q.Filter.Matches)
	after = [2]uint64{r.flows.end(), r.drops.end()}
	for i, j := 0, 0; i+j < q.Last && (i < len(flows) || j < len(drops)); {
		if j == len(drops) || i < len(flows) && flows[i].when.After(drops[j].when) {
			after[0] = flows[i].number - 1
			i++
			continue
		}
		after[1] = drops[j].number - 1
		j++
	}
	return after, nil
}
