package view

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
)

// ways are the kernel's routes for a flow's packets, and for those back: a line each.
type ways struct {
	lines []string
	lacks string // "no route", or "no route back"; empty: there are both, as far as this node knows
}

// waysOf asks the kernel about a flow: for its packets where it begins or ends here, for those back where it ends here.
func (d *Daemon) waysOf(ctx context.Context, f policy.Flow, ends [2]policy.End, own map[netip.Addr]bool) (w ways) {
	if d.Route == nil {
		return w
	}
	begins, reached := ends[0].Here || own[f.From], ends[1].Here || own[f.To]
	if begins || reached {
		w.ask(ctx, d, "route", f.From, f.To)
	}
	if reached && !begins {
		w.ask(ctx, d, "route back", f.To, f.From)
	}
	return w
}

func (w *ways) ask(ctx context.Context, d *Daemon, what string, from, to netip.Addr) {
	r, neighbour, err := d.Route(from, to)
	text := what + ": "
	switch {
	case errors.Is(err, row.ErrNoRoute):
		text += err.Error()
		w.lacks = "no " + what
	case err != nil:
		text += "unknown: " + err.Error()
	case r.Kind == row.RouteLocal:
		text += "to this node itself"
	default:
		text += d.routeText(ctx, r, neighbour)
	}
	w.lines = append(w.lines, text)
}

// routeText prints a route with its cause, and the neighbour that it leads to.
func (d *Daemon) routeText(ctx context.Context, r row.Route, neighbour string) string {
	text := r.Dst.String()
	for i, hop := range r.Hops.List() {
		if i > 0 {
			text += ","
		}
		text += " " + hop.String()
	}
	if cause := d.cause(ctx, r); cause != "" {
		text += ", " + cause
	}
	if neighbour != "" {
		text += "; the neighbour is " + neighbour
	}
	return text
}

// cause is why a route is there, if it is ours: a Node, a path learned by BGP with the node that it leads to, or this node's settings.
func (d *Daemon) cause(ctx context.Context, r row.Route) string {
	var list []string
	for _, o := range d.Linux.Owners(r.Key()) {
		text, learned := strings.CutPrefix(o.Name, string(model.KindPath)+" ")
		if !learned {
			list = append(list, "because of "+o.Name)
			continue
		}
		text = "learned by BGP"
		_ = d.Think(ctx, func(w World) { // who doesn't hear in time does without the name
			for _, hop := range r.Hops.List() {
				for name := range w.Model.NodesAt(hop.Via) {
					text += ", of node " + name
				}
			}
		})
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
