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

// way is how this node sends a flow's packets on, and those back: a line each.
type way struct {
	lines []string
	none  string // "no route", or "no route back"; empty: there are both, as far as this node knows
}

// wayOf asks the kernel about a flow: for its packets where it begins here, for those back where it ends here.
func (d *Daemon) wayOf(ctx context.Context, f policy.Flow, ends [2]policy.End, own map[netip.Addr]bool) (w way) {
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

func (w *way) ask(ctx context.Context, d *Daemon, what string, from, to netip.Addr) {
	r, neighbour, err := d.Route(from, to)
	text := what + ": "
	switch {
	case errors.Is(err, row.ErrNoRoute):
		text += err.Error()
		w.none = "no " + what
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

// verdict is the first line of a flow's answer.
func verdict(f policy.Flow, allowed bool, w way) string {
	word := allowedOr(allowed)
	if allowed && w.none != "" {
		word = w.none
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
