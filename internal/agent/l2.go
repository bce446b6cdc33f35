package agent

import (
	"kube-router/internal/driver/l2"
	"kube-router/internal/intent"
	"kube-router/internal/show"
	"kube-router/internal/watch/alive"
)

// watchOwners follows the nodes whose addresses we would answer for.
func (a *agent) watchOwners(list []intent.Watch) {
	targets := make([]alive.Target, len(list))
	for i, w := range list {
		targets[i] = alive.Target(w)
	}
	a.alive.Want("l2", targets)
}

// l2Samples are what the driver counts.
func l2Samples(d *l2.Driver) []show.Sample {
	return []show.Sample{{Name: "l2_conflicts", Help: "Claims of others to addresses that this node answers for, one a second for each at most",
		Value: float64(d.Conflicts()), Counter: true}}
}
