package view

import (
	"cmp"
	"context"
	"fmt"
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
	Prefix     netip.Prefix
	NextHops   []netip.Addr
	From       string // peers: node, router; else who announces it: Service default/web
	ASPath     string
	Attributes []string // "best", "MED 7", communities
}

// routesView lists prefixes, with the attributes of the best path; of one prefix every path that a peer has taught.
func (d *Daemon) routesView(ctx context.Context, args []string) (show.Page, error) {
	var only []netip.Prefix
	if len(args) > 0 {
		p, err := netip.ParsePrefix(args[0])
		if err != nil {
			return show.Page{}, fmt.Errorf("prefix: %w", err)
		}
		only = []netip.Prefix{p.Masked()}
	}
	paths, silent := d.received(ctx, only)
	var list []shownRoute
	err := d.Think(ctx, func(w World) {
		for _, p := range w.Model.Paths {
			told := paths[p.Prefix]
			if len(told) == 0 || only == nil {
				line := shownRoute{Prefix: p.Prefix, NextHops: p.NextHops, From: learnedFrom(w.Model, p)}
				list = append(list, line.with(told))
				continue
			}
			for i := range told {
				one := shownRoute{Prefix: p.Prefix, NextHops: []netip.Addr{told[i].NextHop}, From: taughtBy(w.Model, told[i].Peer)}
				list = append(list, one.with(told[i:]))
			}
			if len(p.Refused) > 0 {
				list = append(list, shownRoute{Prefix: p.Prefix, From: "refused of " + show.List(p.Refused)})
			}
		}
	})
	for k, r := range d.BGP.All {
		if p, ok := r.(row.BgpPath); ok {
			list = append(list, shownRoute{Prefix: k.Net, NextHops: []netip.Addr{p.NextHop}, From: "advertised"})
		}
	}
	list = slices.DeleteFunc(list, func(r shownRoute) bool { return only != nil && r.Prefix != only[0] })
	slices.SortStableFunc(list, func(a, b shownRoute) int { return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.kind(), b.kind())) })
	p := show.Page{Columns: []string{"prefix", "next hops", "from", "as path", "attributes"}, Data: list}
	if silent != nil {
		p.Note = "attributes are missing: " + silent.Error()
	}
	for _, r := range list {
		p.Rows = append(p.Rows, []string{r.Prefix.String(), show.List(r.NextHops), r.From, r.ASPath, show.List(r.Attributes)})
	}
	return p, err
}

// kind puts what is advertised before what is learned.
func (r shownRoute) kind() int {
	if r.From == "advertised" {
		return 0
	}
	return 1
}

// with adds the attributes of the first path.
func (r shownRoute) with(paths []peer.Received) shownRoute {
	if len(paths) == 0 {
		return r
	}
	p := paths[0]
	r.ASPath = p.ASPath
	if p.Best {
		r.Attributes = append(r.Attributes, "best")
	}
	if p.MED != nil {
		r.Attributes = append(r.Attributes, fmt.Sprintf("MED %d", *p.MED))
	}
	if p.LocalPref != nil && *p.LocalPref != 100 {
		r.Attributes = append(r.Attributes, fmt.Sprintf("local-pref %d", *p.LocalPref))
	}
	r.Attributes = append(r.Attributes, p.Communities...)
	return r
}

// received are paths that peers have taught, by prefix, the best first; none without a speaker.
func (d *Daemon) received(ctx context.Context, only []netip.Prefix) (map[netip.Prefix][]peer.Received, error) {
	if d.Received == nil {
		return nil, nil
	}
	list, err := d.Received(ctx, only)
	all := map[netip.Prefix][]peer.Received{}
	for _, r := range list {
		all[r.Prefix] = append(all[r.Prefix], r)
	}
	return all, err
}

// taughtBy names a peer.
func taughtBy(m *model.Model, by netip.Addr) string {
	if n := m.NodeAt(by); n != nil {
		return "node " + n.Name
	}
	return "router " + by.String()
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
