package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
)

// paces are how often each table is read as a whole again, by the -sync-period flags: what others changed without the
// kernel's telling us is found by then. Changes of ours never wait for it.
func paces(s *model.Settings) func(table string) reconcile.Pace {
	every := func(periods ...time.Duration) reconcile.Pace {
		p := reconcile.DefaultPace
		least := time.Duration(0)
		for _, d := range periods {
			if d > 0 && (least == 0 || d < least) {
				least = d
			}
		}
		if least > 0 {
			p.Look = least
		}
		return p
	}
	// What the firewall and the Services share is read as often as the more anxious of the two asks for.
	services, policy := s.Services.SyncPeriod, s.Policy.SyncPeriod
	if !s.Proxy {
		services = 0
	}
	if !s.Firewall {
		policy = 0
	}
	return func(table string) reconcile.Pace {
		switch table {
		case "nft":
			return every(services, policy)
		case "ipvs", "pods", "bpf":
			return every(services)
		case "rtnl":
			return every(s.Routes.InjectedPeriod)
		case "bgp":
			return every(s.Routes.SyncPeriod)
		case "balancer":
			return every(s.Allocator.SyncPeriod)
		}
		return reconcile.DefaultPace
	}
}

// patience ends the daemon when the cluster could not be read in the time of --cache-sync-timeout: kubelet tells of a
// container that ends, and nobody of one that waits. The kernel goes on as it is.
func (a *agent) patience(ctx context.Context) error {
	if a.o.CacheSyncTimeout <= 0 {
		return nil
	}
	late, cancel := context.WithTimeout(ctx, a.o.CacheSyncTimeout)
	defer cancel()
	select {
	case <-a.thinker.Started():
		return nil
	case <-late.Done():
	}
	if missing := a.pulse().Sources; len(missing) > 0 && ctx.Err() == nil {
		return fmt.Errorf("not read within %s (--cache-sync-timeout): %s", a.o.CacheSyncTimeout, strings.Join(missing, "; "))
	}
	return nil
}
