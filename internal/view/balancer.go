package view

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kube-router/internal/reconcile"
	"kube-router/internal/show"
)

// balancer shows the addresses given and who leads.
func (d *Daemon) balancer(context.Context, []string) (show.Page, error) {
	if d.Allocator == nil {
		return show.Page{}, errors.New("--run-loadbalancer is off")
	}
	b := d.Allocator()
	p := show.Page{Columns: []string{"addresses", "written"}, Data: map[string]any{
		"leader": b.Leader, "leading": b.Leading, "addresses": b.Lines,
	}}
	slices.SortFunc(b.Lines, func(x, y reconcile.Line) int { return cmp.Compare(x.Row, y.Row) })
	for _, l := range b.Lines {
		p.Rows = append(p.Rows, []string{l.Row, cmp.Or(l.Error, yes(l.Have || !b.Leading))})
	}
	p.Note = "leader: " + b.Leader
	return p, nil
}
