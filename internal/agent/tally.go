package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/think"
)

// tally counts what the reference's metrics count and no lane does.
type tally struct {
	learned                    atomic.Uint64 // changes of learned paths
	podRoutes, vips, withdrawn atomic.Uint64 // announcements that the speaker took
	routesAdded, routesRemoved atomic.Uint64 // of the kernel
	policySets                 atomic.Int64
}

// counted is a target whose changes are counted when they succeed.
type counted[K comparable, R any] struct {
	row.Target[K, R]
	count func(row.Change[K, R])
}

// watchedCounted is counted with the target's notifications.
type watchedCounted[K comparable, R any] struct {
	counted[K, R]
	watcher
}

func count[K comparable, R any](target row.Target[K, R], f func(row.Change[K, R])) row.Target[K, R] {
	c := counted[K, R]{target, f}
	if w, ok := target.(watcher); ok {
		return watchedCounted[K, R]{c, w}
	}
	return c
}

// Apply counts what the target took.
func (c counted[K, R]) Apply(ctx context.Context, changes []row.Change[K, R]) error {
	err := c.Target.Apply(ctx, changes)
	var failed row.Failed[K]
	if err != nil && !errors.As(err, &failed) {
		return err
	}
	for _, change := range changes {
		if failed[change.Key] == nil {
			c.count(change)
		}
	}
	return err
}

// announced counts announcements: of pods' ranges, and of Services' addresses.
func (t *tally) announced(s *model.Settings) func(row.Change[row.BgpKey, row.Bgp]) {
	services := slices.Concat(s.Services.ClusterRanges, s.Services.ExternalRanges, s.Allocator.Ranges)
	return func(c row.Change[row.BgpKey, row.Bgp]) {
		if c.Key.Kind != row.BgpKindPath {
			return
		}
		vip := c.Key.Net.IsSingleIP() || slices.ContainsFunc(services, func(p netip.Prefix) bool { return p.Overlaps(c.Key.Net) })
		switch {
		case vip && c.New == nil:
			t.withdrawn.Add(1)
		case vip:
			t.vips.Add(1)
		case c.New != nil:
			t.podRoutes.Add(1)
		}
	}
}

// routed counts routes of the kernel.
func (t *tally) routed(c row.Change[row.LinuxKey, row.Linux]) {
	if c.New == nil {
		if _, ok := (*c.Old).(row.Route); ok {
			t.routesRemoved.Add(1)
		}
	} else if _, ok := (*c.New).(row.Route); ok {
		t.routesAdded.Add(1)
	}
}

// heard counts what peers teach.
func (t *tally) heard(c think.Change) {
	if c.Ref.Kind == model.KindPath {
		t.learned.Add(1)
	}
}

// samples are the counts under the reference's names. Routes are there as many as were added and not removed,
// or found in the kernel at the start.
func (a *agent) tallySamples() []show.Sample {
	routes := 0
	for _, r := range a.ledgers.Linux.All {
		if _, ok := r.(row.Route); ok {
			routes++
		}
	}
	t := &a.tally
	counter := func(name, help string, v uint64, labels ...string) show.Sample {
		return show.Sample{Name: name, Help: help, Value: float64(v), Counter: true, Labels: labels}
	}
	const sent, sentHelp = "controller_bgp_advertisements_sent", "Advertisements given to the BGP speaker"
	return []show.Sample{
		counter("controller_bgp_advertisements_received", "Changes of routes learned from BGP peers", t.learned.Load()),
		counter(sent, sentHelp, t.podRoutes.Load(), "type", "pod-route"),
		counter(sent, sentHelp, t.vips.Load(), "type", "advertise-vip"),
		counter(sent, sentHelp, t.withdrawn.Load(), "type", "withdraw-vip"),
		{Name: "host_routes_synced", Help: "Routes of ours wanted in the kernel", Value: float64(routes)},
		counter("host_routes_added", "Routes written into the kernel", t.routesAdded.Load()),
		counter("host_routes_removed", "Routes removed from the kernel", t.routesRemoved.Load()),
		counter("controller_planning_failures", "Objects whose planning failed by a fault of kube-router; see show remarks", a.thinker.Panics()),
		{Name: "controller_policy_chains", Help: "Distinct lists of rules that policies make, each a chain", Value: float64(a.network.Policies.Tiers.Len())},
		{Name: "controller_policy_ipsets", Help: "Sets of peers that policies' rules look into", Value: float64(t.policySets.Load())},
	}
}
