package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"kube-router/internal/config"
	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/intent"
	"kube-router/internal/plan/balancer"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/stage"
)

// The lease by which nodes agree who gives addresses, with the reference's name and times.
const (
	leaseName     = "kube-router-lballoc"
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// allocator gives LoadBalancer Services their addresses. Every node that may lead plans; only the leader's
// lane runs. Nil: not asked for.
type allocator struct {
	plan     stage.Balancer
	lane     *reconcile.Lane[row.KubeName, row.KubeIngress]
	led      []lane // all that the leader alone writes
	election *kubestatus.Election
	log      *slog.Logger
}

// newAllocator prepares the allocator, unless it is off.
func newAllocator(c *rest.Config, o *config.Options, a *agent) (*allocator, error) {
	if !o.Settings.Balancer {
		return nil, nil
	}
	target, err := kubestatus.NewIngress(c, func(class string) bool {
		return balancer.Handles(&o.Settings, class)
	})
	if err != nil {
		return nil, fmt.Errorf("balancer addresses: %w", err)
	}
	b := &allocator{log: a.log, plan: stage.Balancer{Addresses: reconcile.NewLedger[row.KubeName, row.KubeIngress](), Pools: reconcile.NewLedger[string, row.KubePool]()}}
	b.lane = reconcile.NewLane(addressTable.name, b.plan.Addresses, target, addressTable.pace(&o.Settings), a.log)
	pools, err := kubestatus.NewPools(c)
	if err != nil {
		return nil, fmt.Errorf("status of pools: %w", err)
	}
	b.led = []lane{b.lane, reconcile.NewLane(poolTable.name, b.plan.Pools, pools, poolTable.pace(&o.Settings), a.log)}
	b.election, err = kubestatus.NewElection(c, kubestatus.ElectionOptions{
		Lease:    row.KubeName{Namespace: cmp.Or(o.Settings.Allocator.Namespace, "kube-system"), Name: leaseName},
		Identity: cmp.Or(o.Settings.Allocator.Identity, o.Settings.Node),
		Duration: leaseDuration, Deadline: renewDeadline, Retry: retryPeriod, Lead: b.lead, Log: a.log,
	})
	return b, err
}

// lead runs the leader's lanes until the lease ends. A lane never fails as a whole.
func (b *allocator) lead(ctx context.Context) {
	b.log.Info("this node gives LoadBalancer Services their addresses")
	var wg sync.WaitGroup
	for _, l := range b.led {
		wg.Go(func() { _ = l.Run(ctx) })
	}
	wg.Wait()
}

// parts are what runs for the allocator: elections, once the first plan is complete.
func (b *allocator) parts(started <-chan struct{}) []part {
	if b == nil {
		return nil
	}
	return []part{{"balancer", func(ctx context.Context) error {
		select {
		case <-started:
		case <-ctx.Done():
		}
		return b.election.Run(ctx)
	}}}
}

// samples are what pools have left, told by the leader alone.
func (b *allocator) samples() []show.Sample {
	if b == nil || !b.election.Leading() {
		return nil
	}
	var list []show.Sample
	for _, p := range b.plan.Usage() {
		for i, u := range []*intent.Usage{p.V4, p.V6} {
			if u == nil {
				continue
			}
			for _, s := range []struct {
				state string
				n     int64
			}{{"total", u.Total}, {"assigned", u.Assigned}, {"available", u.Available}} {
				list = append(list, show.Sample{
					Name: "pool_addresses", Help: "Addresses of an AddressPool, as the leader counts them", Value: float64(s.n),
					Labels: []string{"pool", p.Name, "family", "ipv" + strconv.Itoa(4+2*i), "state", s.state},
				})
			}
		}
	}
	return list
}
