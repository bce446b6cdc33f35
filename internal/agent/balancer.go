package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"kube-router/internal/config"
	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/intent"
	"kube-router/internal/plan/balancer"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/stage"
	"kube-router/internal/watch/kube"
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
	plan    stage.Balancer
	lane    *reconcile.Lane[row.KubeName, row.KubeIngress]
	led     []lane // all that the leader alone writes
	elector *leaderelection.LeaderElector
	log     *slog.Logger
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
	leases, err := coordination.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	b.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: leaseName, Namespace: cmp.Or(o.Settings.Allocator.Namespace, "kube-system")},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: cmp.Or(o.Settings.Allocator.Identity, o.Settings.Node)},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				a.log.Info("this node gives LoadBalancer Services their addresses")
				b.lead(ctx)
			},
			// Also called at the end of a node that never led.
			OnStoppedLeading: func() { a.log.Debug("this node gives LoadBalancer Services no addresses") },
		},
	})
	return b, err
}

// lead runs the leader's lanes until the lease ends. A lane never fails as a whole.
func (b *allocator) lead(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range b.led {
		wg.Go(func() { _ = l.Run(ctx) })
	}
	wg.Wait()
}

// parts are what runs for the allocator: elections, one after the other, once the first plan is complete.
func (b *allocator) parts(started <-chan struct{}) []part {
	if b == nil {
		return nil
	}
	return []part{{"balancer", func(ctx context.Context) error {
		select {
		case <-started:
		case <-ctx.Done():
		}
		for ctx.Err() == nil {
			b.elector.Run(kube.Quiet(ctx, b.log))
		}
		return nil
	}}}
}

// samples are what pools have left, told by the leader alone.
func (b *allocator) samples() []show.Sample {
	if b == nil || !b.elector.IsLeader() {
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
