package view

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
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

// unserved are the answers for flows to an address of a Service, or of the ranges of Services, where nobody answers: a line each.
func (d *Daemon) unserved(w World, flow policy.Flow, from, to string) (rows [][]string) {
	_, sources := w.Policies.Pod(from)
	fronts := d.fronts(to)
	say := func(at netip.Addr, what string) {
		for _, s := range sources {
			if s.Is4() == at.Is4() {
				rows = append(rows, []string{fmt.Sprintf("%s → %s/%s: %s", s, netip.AddrPortFrom(at, uint16(flow.Port)), flow.Protocol, what)})
			}
		}
	}
	for i, f := range fronts {
		switch {
		case f.Port == uint16(flow.Port) && f.Protocol == uint8(flow.Protocol):
			if why := nobody(w.Model, f); why != "" && len(f.Backends) == 0 {
				say(f.Addr, map[bool]string{false: "refused: ", true: "dropped: "}[f.Silent]+why)
			}
		case w.Model.NodeAt(f.Addr) != nil: // has ports of its own
		case i == 0 || fronts[i-1].Addr != f.Addr:
			if has := portsAt(fronts, f.Addr); !slices.Contains(has, fmt.Sprintf("%d/%s", flow.Port, flow.Protocol)) {
				say(f.Addr, fmt.Sprintf("refused: Service %s has no such port; it has %s", f.Owner, strings.Join(has, ", ")))
			}
		}
	}
	if at, ok := asAddress(to); ok && len(fronts) == 0 && slices.ContainsFunc(holder.Spaces(&w.Model.Settings), func(r holder.Range) bool { return r.Kind != holder.PodSpace && r.Contains(at) }) {
		say(at, "refused: no Service has this address")
	}
	return rows
}

// portsAt are the ports at an address, such as 80/tcp.
func portsAt(fronts []*intent.Service, at netip.Addr) (list []string) {
	for _, f := range fronts {
		if f.Addr == at {
			list = append(list, fmt.Sprintf("%d/%s", f.Port, intent.ProtocolName(f.Protocol)))
		}
	}
	return list
}
