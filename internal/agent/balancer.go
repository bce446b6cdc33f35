package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"kube-router/internal/config"
	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/plan/balancer"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
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
	ledger  *reconcile.Ledger[row.KubeName, row.KubeIngress]
	lane    *reconcile.Lane[row.KubeName, row.KubeIngress]
	elector *leaderelection.LeaderElector
	log     *slog.Logger
}

// newAllocator prepares the allocator, unless it is off.
func newAllocator(c *rest.Config, o *config.Options, a *agent) (*allocator, error) {
	if !o.Settings.Balancer {
		return nil, nil
	}
	target, err := kubestatus.NewIngress(c, o.Settings.Allocator.Ranges, func(class string) bool {
		return balancer.Handles(&o.Settings, class)
	})
	if err != nil {
		return nil, fmt.Errorf("balancer addresses: %w", err)
	}
	b := &allocator{log: a.log, ledger: reconcile.NewLedger[row.KubeName, row.KubeIngress]()}
	b.lane = reconcile.NewLane("balancer", b.ledger, target, paces(&o.Settings)("balancer"), a.log)
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
				// The lane ends with the lease and never fails as a whole.
				_ = b.lane.Run(ctx)
			},
			// Also called at the end of a node that never led.
			OnStoppedLeading: func() { a.log.Debug("this node gives LoadBalancer Services no addresses") },
		},
	})
	return b, err
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
