package view

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kube-router/internal/plan/policy"
	"kube-router/internal/show"
)

// rehearsalView prints what would have ended if audited policies were enforced.
func (d *Daemon) rehearsalView(ctx context.Context, _ []string) (show.Page, error) {
	hits, err := d.Hits(ctx)
	if err != nil {
		return show.Page{}, err
	}
	hits = slices.DeleteFunc(hits, func(h RuleHits) bool { return !h.Rehearsed || !h.Ends() })
	recent, since, heard := d.Tried()
	flows, err := d.explain(ctx, recent, (*policy.Planner).Rehearse, "would pass by now: ")
	p := show.Page{Columns: []string{"when", "where", "from", "to", "why"}, Data: map[string]any{"counters": hits, "flows": flows}, Note: listening(since, heard)}
	for _, h := range hits {
		if h.Packets > 0 {
			p.Rows = append(p.Rows, []string{"since its start", fmt.Sprintf("%s %s %s", h.Tier, h.Policy, h.Rule), "", "",
				show.Count(h.Packets, "packet") + ", " + show.Count(h.Bytes, "byte") + " would have ended"})
		}
	}
	for _, f := range flows {
		p.Rows = append(p.Rows, []string{f.Time.Format(time.TimeOnly), f.At, f.From, f.To + " " + f.Protocol, "passes; if it were enforced: " + f.Why})
	}
	return p, err
}

// rehearsedWhy tells of the ends of a flow what would be otherwise if audited policies were enforced.
func rehearsedWhy(now, then [2]policy.End) (rows [][]string) {
	for i, e := range then {
		switch {
		case e.Allowed == now[i].Allowed:
		case e.Allowed:
			rows = append(rows, []string{"  rehearsal: is refused, and would pass if audited policies were enforced: " + e.String()})
		default:
			rows = append(rows, []string{"  rehearsal: passes, and would be refused if audited policies were enforced: " + e.String()})
		}
	}
	return rows
}
