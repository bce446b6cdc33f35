package stage

import (
	"net/netip"
	"sync/atomic"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/balancer"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/kube"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// Balancer plans all LoadBalancer Services' addresses at once, because they compete, and what AddressPools have left.
type Balancer struct {
	Addresses *reconcile.Ledger[row.KubeName, row.KubeIngress]
	Pools     *reconcile.Ledger[string, row.KubePool] // nil: nobody writes their status

	told atomic.Pointer[[]intent.Pool]
}

// Stage is the balancer's place in a turn.
func (b *Balancer) Stage() think.Stage { return think.Stage{ID: think.Balancer, Plan: b.plan} }

// Usage is what the last plan said of the pools. It is safe for many goroutines.
func (b *Balancer) Usage() []intent.Pool {
	if told := b.told.Load(); told != nil {
		return *told
	}
	return nil
}

func (b *Balancer) plan(m *model.Model, _ model.Ref) []model.Remark {
	planned := map[model.Name][]netip.Addr{}
	for k, r := range b.Addresses.All {
		planned[model.Name{Namespace: k.Namespace, Name: k.Name}] = r.Addrs()
	}
	list, pools, remarks := balancer.Plan(m, planned)
	var rows []row.KubeIngress
	for _, i := range list {
		rows = append(rows, kube.Balancer(i))
	}
	b.Addresses.Claim(reconcile.Owner{Name: "balancer"}, rows...)
	b.told.Store(&pools)
	if b.Pools != nil {
		var status []row.KubePool
		for _, p := range pools {
			status = append(status, kube.Pool(p))
		}
		b.Pools.Claim(reconcile.Owner{Name: "balancer"}, status...)
	}
	return remarks
}
