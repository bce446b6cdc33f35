package agent

import (
	"context"
	"net/netip"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/model"
	"kube-router/internal/watch/alive"
)

// watchNodes has the kernels of nodes asked whether they live.
func (a *agent) watchNodes(nodes []*model.Node) {
	var list []alive.Target
	for _, n := range nodes {
		list = append(list, alive.Target{Node: n.Name, Addr: n.PrimaryIP()})
	}
	a.alive.Want("egress", list)
}

// leftWrong are flows that leave the cluster otherwise than they would if they began now. They end, and what goes on sending begins anew:
// TCP in its middle too.
func (a *agent) leftWrong(ctx context.Context, flows []conntrack.Flow, _ func(netip.Addr) bool) ([]conntrack.Flow, error) {
	var bad []conntrack.Flow
	err := a.thinker.Query(ctx, func(m *model.Model) {
		right := a.network.Gateways.Right(m)
		for _, f := range flows {
			if !right(f.Orig.Src.Addr(), f.Reply.Src.Addr(), f.Reply.Dst.Addr()) {
				bad = append(bad, f)
			}
		}
	})
	return bad, err
}
