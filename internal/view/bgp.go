package view

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/watch/peer"
)

// bgpViews are what can be asked about BGP.
func (d *Daemon) bgpViews() []show.View {
	return []show.View{
		{Name: "peers", Doc: "BGP sessions with nodes and routers", Make: d.peersView},
		{Name: "advertised", Args: "[ADDRESS|NAME]", Doc: "which addresses this node advertises to which routers, and why not", Make: d.advertisedView},
		{Name: "routes", Args: "[PREFIX]", Doc: "routes learned from peers, and what we advertise", Make: d.routesView},
	}
}

func (d *Daemon) peersView(ctx context.Context, _ []string) (show.Page, error) {
	sessions, err := d.sessions(ctx, true)
	list := make([]shownPeer, 0, len(sessions))
	if e := d.Think(ctx, func(w World) {
		for _, s := range sessions {
			list = append(list, shownPeer{s, advert.From(w.Model, s.Addr)})
		}
	}); err == nil {
		err = e
	}
	p := show.Page{
		Columns: []string{"peer", "as", "type", "node", "state", "since", "received", "accepted", "advertised", "limit", "bfd", "flaps", "from", "reason"}, Data: list,
	}
	for _, s := range list {
		since := "never"
		if !s.Since.IsZero() {
			since = time.Since(s.Since).Round(time.Second).String()
		}
		limit, reason := "", s.Reason
		if s.Limit > 0 {
			limit = strconv.FormatUint(uint64(s.Limit), 10)
		}
		if s.Established() {
			reason = "" // it is of the session before
		}
		p.Rows = append(p.Rows, []string{
			s.Addr.String(), strconv.FormatUint(uint64(s.ASN), 10), s.Type(), s.Node, s.Session, since,
			strconv.FormatUint(s.Received, 10), strconv.FormatUint(s.Accepted, 10), strconv.FormatUint(s.Advertised, 10),
			limit, s.BFD, strconv.FormatUint(uint64(s.Flaps), 10), s.From, reason,
		})
	}
	return p, err
}

func (d *Daemon) advertisedView(ctx context.Context, args []string) (show.Page, error) {
	var list []advert.Told
	err := d.Think(ctx, func(w World) { list = advert.Tell(w.Model) })
	list = slices.DeleteFunc(list, func(o advert.Told) bool {
		if len(args) == 0 {
			return false
		}
		at, err := netip.ParseAddr(args[0])
		return err == nil && !o.Prefix.Contains(at) || err != nil && !named(o.For.Name.String(), args[0])
	})
	p := show.Page{Columns: []string{"prefix", "for", "by", "to", "withheld from", "why not"}, Data: list}
	for _, o := range list {
		p.Rows = append(p.Rows, []string{o.Prefix.String(), o.For.String(), o.By, show.List(o.To), show.List(o.Withheld), o.Not})
	}
	return p, err
}

// shownPeer is a line of `show peers`.
type shownPeer struct {
	peer.State
	From string // the object, flag or annotation that speaks of a router; empty: a node
}

// sessions asks for the sessions; none without a speaker.
func (d *Daemon) sessions(ctx context.Context, advertised bool) ([]peer.State, error) {
	if d.Sessions == nil {
		return nil, nil
	}
	return d.Sessions(ctx, advertised)
}

// shownRoute is a line of `show routes`.
type shownRoute struct {
	Prefix   netip.Prefix
	NextHops []netip.Addr
	From     string // peers: node, router; else who announces it: Service default/web
}

func (d *Daemon) routesView(ctx context.Context, args []string) (show.Page, error) {
	var list []shownRoute
	err := d.Think(ctx, func(w World) {
		m := w.Model
		for _, p := range m.Paths {
			list = append(list, shownRoute{p.Prefix, p.NextHops, learnedFrom(m, p)})
		}
	})
	for k, r := range d.BGP.All {
		if p, ok := r.(row.BgpPath); ok {
			list = append(list, shownRoute{k.Net, []netip.Addr{p.NextHop}, "advertised"})
		}
	}
	list = slices.DeleteFunc(list, func(r shownRoute) bool { return len(args) > 0 && r.Prefix.String() != args[0] })
	slices.SortFunc(list, func(a, b shownRoute) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.From, b.From))
	})
	p := show.Page{Columns: []string{"prefix", "next hops", "from"}, Data: list}
	for _, r := range list {
		p.Rows = append(p.Rows, []string{r.Prefix.String(), show.List(r.NextHops), r.From})
	}
	return p, err
}

// learnedFrom tells who a path leads to. One that is refused leads nowhere, nor has one that goes through WireGuard a next hop.
func learnedFrom(m *model.Model, p *model.Path) string {
	switch {
	case len(p.NextHops) == 0 && len(p.Refused) > 0:
		return "refused of " + show.List(p.Refused)
	case len(p.NextHops) == 0:
		return "node"
	}
	if n := m.NodeAt(p.NextHops[0]); n != nil {
		return "node " + n.Name
	}
	if p.External {
		return "router"
	}
	return "node"
}
