package view

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

// whyAddress tells what an address is that no Service has: a node, a pod, or somewhere that a route leads to; and by
// which rows packets get there.
func (d *Daemon) whyAddress(ctx context.Context, at netip.Addr) (show.Page, error) {
	p := show.Page{Columns: []string{"what", "because of"}}
	err := d.Think(ctx, func(w World) {
		m := w.Model
		if n := m.NodeAt(at); n != nil {
			p.Rows = append(p.Rows, []string{fmt.Sprintf("%s is node %s", at, n.Name), n.Ref().String()})
		}
		for name, pod := range m.PodsAt(at) {
			p.Rows = append(p.Rows, []string{fmt.Sprintf("%s is pod %s on node %s", at, name, pod.Node), pod.Ref().String()})
			if wall := w.Firewalls[name.String()]; wall != nil {
				p.Rows = append(p.Rows, []string{fmt.Sprintf("  its policies: kube-router show firewalls %s", name), ""})
			}
		}
		for name, n := range m.Nodes {
			if r := slices.IndexFunc(n.PodCIDRs, func(r netip.Prefix) bool { return r.Contains(at) }); r >= 0 {
				p.Rows = append(p.Rows, []string{fmt.Sprintf("%s is in the pod range %s of node %s", at, n.PodCIDRs[r], name), n.Ref().String()})
			}
		}
		for _, r := range holder.Spaces(&m.Settings) {
			if r.Contains(at) {
				p.Rows = append(p.Rows, []string{fmt.Sprintf("%s is in %s", at, r), model.Ref{Kind: model.KindSettings}.String()})
			}
		}
		for prefix, path := range m.Paths {
			if prefix.Contains(at) {
				p.Rows = append(p.Rows, []string{fmt.Sprintf("%s was learned by BGP via %s", prefix, path.NextHops), path.Ref().String()})
			}
		}
	})
	var routes []row.Route
	for _, r := range d.Linux.All {
		if r, ok := r.(row.Route); ok && r.Dst.Contains(at) {
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, func(x, y row.Route) int {
		return cmp.Or(cmp.Compare(y.Dst.Bits(), x.Dst.Bits()), cmp.Compare(x.Metric, y.Metric), cmp.Compare(x.Table, y.Table))
	})
	for _, r := range routes {
		p.Rows = append(p.Rows, []string{"  " + r.String(), owned(d.Linux.Owners(r.Key()))})
	}
	if err == nil && len(p.Rows) == 0 {
		err = fmt.Errorf("%s is no Service's address here, no node's and no pod's, and no route of ours leads there; `ip route get %s` shows where the node sends it", at, at)
	}
	p.Data = p.Rows
	return p, err
}

func owned(owners []reconcile.Owner) string {
	var list []string
	for _, o := range owners {
		list = append(list, o.Name)
	}
	return some(list)
}

// asAddress reads "10.0.0.1" and "10.0.0.1:80/tcp".
func asAddress(what string) (netip.Addr, bool) {
	bare, _, _ := strings.Cut(what, "/")
	if at, err := netip.ParseAddrPort(bare); err == nil {
		return at.Addr(), true
	}
	at, err := netip.ParseAddr(bare)
	return at, err == nil
}

// fronts are the fronts that somebody means.
func (d *Daemon) fronts(what string) []*intent.Service {
	var fronts []*intent.Service
	for _, s := range d.Fronts.All {
		if frontMatches(s, what) {
			fronts = append(fronts, s)
		}
	}
	slices.SortFunc(fronts, func(x, y *intent.Service) int { return x.Front.Compare(y.Front) })
	return fronts
}
