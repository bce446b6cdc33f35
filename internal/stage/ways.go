package stage

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
)

// Ways are the units of planning that lead to other nodes: a claim's owner, and whether the plan found a way at all.
// The thinking goroutine notes them; health reads them.
type Ways struct{ units sync.Map }

// note keeps what came of planning a unit.
func (w *Ways) note(m *model.Model, u model.Ref, routes []*intent.Route) {
	if !toNode(m, u) {
		w.units.Delete(u.String())
		return
	}
	w.units.Store(u.String(), slices.ContainsFunc(routes, func(r *intent.Route) bool { return len(r.Hops) > 0 }))
}

// toNode tells whether a unit is another node's, or a prefix that another node announces.
func toNode(m *model.Model, u model.Ref) bool {
	switch u.Kind {
	case model.KindNode:
		n := m.Nodes[u.Name.Name]
		return n != nil && n.Name != m.Settings.Node && len(n.PodCIDRs) > 0 && m.Settings.Router && m.Settings.Routes.Source == "api"
	case model.KindPath:
		prefix, err := netip.ParsePrefix(u.Name.Name)
		if err != nil {
			return false
		}
		o := m.Paths[prefix]
		if o == nil || len(o.NextHops) == 0 {
			return false
		}
		n := m.NodeAt(o.NextHops[0])
		return n != nil && n.Name != m.Settings.Node
	}
	return false
}

// None tells why not one of the ways can be gone; empty: one can, or there are none.
func (w *Ways) None(s reconcile.Status) string {
	failing := map[string]string{}
	for _, f := range s.Failing {
		if f.Taken {
			continue
		}
		failing[f.Owner] = f.Row + ": " + f.Error
	}
	all, why := 0, ""
	open := false
	w.units.Range(func(owner, planned any) bool {
		all++
		failed := failing[owner.(string)]
		switch {
		case !planned.(bool):
			why = cmp.Or(why, "none is planned; kube-router show remarks")
		case failed != "":
			why = failed
		default:
			open = true
		}
		return !open
	})
	if open || all == 0 {
		return ""
	}
	return fmt.Sprintf("not one of %d works: %s", all, strings.TrimSpace(why))
}
