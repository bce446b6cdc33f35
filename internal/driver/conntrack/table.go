package conntrack

import (
	"context"
	"net/netip"
	"slices"

	"kube-router/internal/row"
)

// Table makes flows obey rows. It is a row.Target whose Dump tells which of the rows hold: those that were
// applied and that no flow breaks. After a restart it knows none, so the lane applies all of them and every
// flow is checked against what is true now, whatever happened in between.
//
// A row that takes endpoints away is applied twice, a moment apart, and answers row.Later the first time:
// until the other lanes have changed the service tables, a packet may still begin a flow to the old endpoint.
type Table struct {
	kernel Kernel
	holds  map[row.FlowsKey]row.Flows
	once   map[row.FlowsKey]row.Flows // applied the first time; a zero row: removed
	inside []netip.Prefix             // clients that are not outside
}

// NewTable makes a table of a kernel's flows.
func NewTable(k Kernel) *Table {
	return &Table{kernel: k, holds: map[row.FlowsKey]row.Flows{}, once: map[row.FlowsKey]row.Flows{}}
}

// fewFronts is up to how many fronts are asked for one by one; more share one look at all flows of their
// family and protocol. The kernel walks its table for each.
const fewFronts = 4

// Dump lists the rows that hold. It reads no flow where there is no row.
func (t *Table) Dump(ctx context.Context) (map[row.FlowsKey]row.Flows, error) {
	want := make(map[row.FlowsKey]*row.Flows, len(t.holds))
	for k, r := range t.holds {
		want[k] = &r
	}
	broken, err := t.broken(ctx, want)
	if err != nil {
		return nil, err
	}
	have := make(map[row.FlowsKey]row.Flows, len(t.holds))
	for k, r := range t.holds {
		if len(broken[k]) == 0 {
			have[k] = r
		}
	}
	return have, nil
}

// Apply deletes the flows that changed rows don't allow.
func (t *Table) Apply(ctx context.Context, changes []row.Change[row.FlowsKey, row.Flows]) error {
	check := map[row.FlowsKey]*row.Flows{}
	var lost []netip.Addr
	for _, c := range changes {
		if c.Key == (row.FlowsKey{}) {
			t.learn(c)
			lost = changed(c)
		} else if narrows(c) {
			check[c.Key] = c.New
		}
	}
	broken, err := t.broken(ctx, check)
	if err != nil {
		return err
	}
	if broken[row.FlowsKey{}], err = t.givenAs(ctx, lost); err != nil {
		return err
	}
	failed := row.Failed[row.FlowsKey]{}
	for _, c := range changes {
		flows := broken[c.Key]
		if err := t.kernel.Delete(flows...); err != nil {
			failed[c.Key] = err
			continue
		}
		if t.unsure(c, len(flows) > 0) {
			failed[c.Key] = row.Later{Reason: "the service tables may still send flows to an endpoint that went"}
			continue
		}
		t.settle(c)
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// learn takes over who is inside. Nobody changes sides but with a change of the node's own ranges; then flows stay
// until their front changes.
func (t *Table) learn(c row.Change[row.FlowsKey, row.Flows]) {
	t.inside = nil
	if c.New != nil {
		t.inside = c.New.Blocks()
	}
}

// changed are the node's addresses that are others now. Of a family that it has none of any more, nothing is known that would be better.
func changed(c row.Change[row.FlowsKey, row.Flows]) []netip.Addr {
	if c.Old == nil || c.New == nil {
		return nil
	}
	now := c.New.Given()
	return slices.DeleteFunc(c.Old.Given(), func(a netip.Addr) bool {
		return slices.Contains(now, a) || !slices.ContainsFunc(now, func(b netip.Addr) bool { return a.Is6() == b.Is6() })
	})
}

// givenAs are the flows whose clients were given an address of the node. The kernel ends masqueraded ones itself when a link loses
// its address, and these not: no answer would come, and a client of UDP that never falls silent would never have another.
func (t *Table) givenAs(ctx context.Context, lost []netip.Addr) ([]Flow, error) {
	var list []Flow
	for _, a := range lost {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := t.kernel.Flows(Filter{V6: a.Is6()}, func(w Flow) {
			if w.Reply.Dst.Addr() == a && w.Orig.Src.Addr() != a {
				list = append(list, w)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// narrows tells whether a flow that was allowed may no longer be. A front that had nobody may have flows to
// where routing took them before it was a front.
func narrows(c row.Change[row.FlowsKey, row.Flows]) bool {
	if c.New == nil || c.Old == nil || c.Old.To == "" {
		return true
	}
	if c.New.Far && !c.Old.Far || c.New.Plain && !c.Old.Plain {
		return true
	}
	return lacks(c.New.Endpoints(), c.Old.Endpoints()) || c.New.Far && lacks(c.New.NearEndpoints(), c.Old.NearEndpoints())
}

// lacks tells whether one of some endpoints is not among those that there are now.
func lacks(now, some []netip.AddrPort) bool {
	have := set(now)
	return slices.ContainsFunc(some, func(e netip.AddrPort) bool { _, ok := have[e]; return !ok })
}

// unsure tells whether the change is to be looked at once more: something was there to take away, and this
// was the first time.
func (t *Table) unsure(c row.Change[row.FlowsKey, row.Flows], found bool) bool {
	if c.Key == (row.FlowsKey{}) && !found {
		return false
	}
	var want row.Flows
	if c.New != nil {
		want = *c.New
	}
	if before, ok := t.once[c.Key]; ok && before == want {
		return false
	}
	if !found && (c.Old == nil || !narrows(c)) {
		return false
	}
	t.once[c.Key] = want
	return true
}

func (t *Table) settle(c row.Change[row.FlowsKey, row.Flows]) {
	delete(t.once, c.Key)
	if c.New == nil {
		delete(t.holds, c.Key)
		return
	}
	t.holds[c.Key] = *c.New
}

// broken lists the flows that rows don't allow. A nil row is a front that is gone: flows that were sent to
// an endpoint end, others are none of ours.
func (t *Table) broken(ctx context.Context, want map[row.FlowsKey]*row.Flows) (map[row.FlowsKey][]Flow, error) {
	allowed := make(map[row.FlowsKey][2]map[netip.AddrPort]struct{}, len(want)) // inside, outside
	for k, r := range want {
		if r != nil {
			allowed[k] = t.sides(*r)
		}
	}
	out := map[row.FlowsKey][]Flow{}
	for _, f := range filters(want) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := t.kernel.Flows(f, func(w Flow) {
			k := row.FlowsKey{Addr: w.Orig.Dst.Addr(), Port: w.Orig.Dst.Port(), Protocol: w.Protocol}
			r, ok := want[k]
			if !ok {
				return
			}
			side := 0
			if !within(t.inside, w.Orig.Src.Addr()) {
				side = 1
			}
			_, fine := allowed[k][side][w.Reply.Src]
			hidden := side == 1 && r != nil && r.Plain && len(t.inside) > 0 && w.Reply.Dst.Addr() != w.Orig.Src.Addr()
			if fine && !hidden || r == nil && w.Reply.Src == w.Orig.Dst {
				return
			}
			out[k] = append(out[k], w)
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// filters are the questions to the kernel that cover all fronts.
func filters(want map[row.FlowsKey]*row.Flows) []Filter {
	seen := map[Filter]struct{}{}
	for k := range want {
		if k == (row.FlowsKey{}) {
			continue
		}
		f := Filter{V6: k.Addr.Is6(), Protocol: k.Protocol}
		if len(want) <= fewFronts {
			f.Dst = netip.AddrPortFrom(k.Addr, k.Port)
		}
		seen[f] = struct{}{}
	}
	list := make([]Filter, 0, len(seen))
	for f := range seen {
		list = append(list, f)
	}
	return list
}

// sides are the endpoints for clients inside and outside. As long as nobody has told who is inside all are.
func (t *Table) sides(r row.Flows) [2]map[netip.AddrPort]struct{} {
	all := set(r.Endpoints())
	if !r.Far || len(t.inside) == 0 {
		return [2]map[netip.AddrPort]struct{}{all, all}
	}
	return [2]map[netip.AddrPort]struct{}{all, set(r.NearEndpoints())}
}

func within(blocks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func set(list []netip.AddrPort) map[netip.AddrPort]struct{} {
	m := map[netip.AddrPort]struct{}{}
	for _, e := range list {
		m[e] = struct{}{}
	}
	return m
}
