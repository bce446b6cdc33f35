package stage

import (
	"net/netip"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
)

func TestNoWayToOtherNodes(t *testing.T) {
	m := model.New(model.Settings{Node: "n1", Router: true, Routes: model.RouteSettings{Source: "api"}})
	for _, name := range []string{"n1", "n2", "n3"} {
		m.Put(&model.Node{Name: name, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, InternalIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	}
	unit := func(name string) model.Ref { return model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}} }
	route := []*intent.Route{{Hops: []intent.Hop{{Dev: "eth0"}}}}
	fails := func(names ...string) (s reconcile.Status) {
		for _, n := range names {
			s.Failing = append(s.Failing, reconcile.Failing{Row: "link tun", Owner: unit(n).String(), Error: "operation not supported"})
		}
		return s
	}
	w := &Ways{}
	check := func(what string, s reconcile.Status, want string) {
		t.Helper()
		if got := w.None(s); got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("alone", fails(), "")
	w.note(m, unit("n1"), nil) // our own is no way to another
	w.note(m, unit("n2"), route)
	w.note(m, unit("n3"), route)
	check("all stand", fails(), "")
	check("one fails", fails("n2"), "")
	check("all fail", fails("n2", "n3"), "not one of 2 works: link tun: operation not supported")
	taken := fails("n2", "n3")
	taken.Failing[1].Taken = true
	check("a route of somebody else's leads to one", taken, "")
	w.note(m, unit("n3"), nil)
	check("one is not planned, one fails", fails("n2"), "not one of 2")
	check("one is not planned", fails(), "")
	m.Delete(unit("n2"))
	m.Delete(unit("n3"))
	w.note(m, unit("n2"), nil)
	w.note(m, unit("n3"), nil)
	check("others have gone", fails("n2"), "")
}
