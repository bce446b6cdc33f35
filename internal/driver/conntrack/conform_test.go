package conntrack

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// patient applies again what the table puts off, as the lane does.
type patient struct{ *Table }

func (p patient) Apply(ctx context.Context, changes []row.Change[row.FlowsKey, row.Flows]) error {
	for range 2 {
		err := p.Table.Apply(ctx, changes)
		var failed row.Failed[row.FlowsKey]
		if !errors.As(err, &failed) {
			return err
		}
		var again []row.Change[row.FlowsKey, row.Flows]
		for _, c := range changes {
			if errors.As(failed[c.Key], &row.Later{}) {
				again = append(again, c)
			} else if failed[c.Key] != nil {
				return err
			}
		}
		changes = again
	}
	return p.Table.Apply(ctx, changes)
}

// TestConformance: but for a restart, after which the table knows nothing by design and checks all flows
// anew, it is a target like any other. Foreign flows are those to addresses that are no fronts.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name   string
		kernel func(testing.TB) Kernel
	}{
		{"fake", func(testing.TB) Kernel { return NewFake() }},
		{"kernel", func(t testing.TB) Kernel { return socket(t, namespace(t)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table *Table
			conform.Target(t, conform.Config[row.FlowsKey, row.Flows]{
				World:  func(t testing.TB) { table = NewTable(c.kernel(t)) },
				Open:   func(testing.TB) row.Target[row.FlowsKey, row.Flows] { return patient{table} },
				Rows:   rows,
				Change: func(r row.Flows) (row.Flows, bool) { r.To = row.FlowsTo(ap("10.244.9.9:53")); return r, true },
			})
		})
	}
}

func rows(n int) []row.Flows {
	var list []row.Flows
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})
		r := row.Flows{Front: row.FlowsKey{Addr: a, Port: 53, Protocol: []uint8{17, 132}[i%2]}}
		for e := range i % 4 {
			r.To += row.FlowsTo(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(e)}), 53))
		}
		list = append(list, r)
	}
	return list
}
