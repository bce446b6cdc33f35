package view

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
)

// way is how this node sends a flow on: a line, and whether it can't.
type way struct {
	text string
	none bool
}

// wayOf asks the kernel about a flow of which one end is here; of others this node knows nothing.
func (d *Daemon) wayOf(ctx context.Context, f policy.Flow, here bool) way {
	if !here || d.Route == nil {
		return way{}
	}
	r, neighbour, err := d.Route(f.From, f.To)
	switch {
	case errors.Is(err, row.ErrNoRoute):
		return way{"  route: " + err.Error(), true}
	case err != nil:
		return way{"  route: unknown: " + err.Error(), false}
	}
	if r.Kind == row.RouteLocal {
		return way{"  route: to this node itself", false}
	}
	text := "  route: " + r.Dst.String()
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
	return way{text, false}
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

// here tells whether this node knows what becomes of a flow's packets: one of the flow's ends is here.
func here(egress, ingress policy.End, own map[netip.Addr]bool, f policy.Flow) bool {
	return egress.Here || ingress.Here || own[f.From] || own[f.To]
}

// verdict is the first line of a flow's answer.
func verdict(f policy.Flow, allowed bool, w way) string {
	word := allowedOr(allowed)
	if allowed && w.none {
		word = "no route"
	}
	return fmt.Sprintf("%s → %s/%s: %s", f.From, netip.AddrPortFrom(f.To, uint16(f.Port)), f.Protocol, word)
}
