package agent

import (
	"context"
	"errors"
	"time"

	"kube-router/internal/driver/rtnl"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/stage"
	"kube-router/internal/view"
	"kube-router/internal/watch/names"
)

// asked is what views may ask of this daemon.
func (a *agent) asked() *view.Daemon {
	d := &view.Daemon{
		Options: a.o, Version: a.build.Version, Born: a.born,
		Pulse: a.pulse, Busy: a.thinker.Busy, Think: a.think, Planned: a.thinker.Remarks,
		Tables: a.tables.statuses, Lines: a.tables.lines,
		Fronts: a.network.Services.Intents, Linux: a.ledgers.Linux, BGP: a.ledgers.BGP,
		Rules: func(ctx context.Context) (map[row.NftKey]row.Nft, error) { return a.firewall.table.Dump(ctx) },
		Route: rtnl.Look, Wires: a.wireStates, InClear: a.inClear,
		Dropped: a.dropCounts, Recent: a.recorder.Recent, Flows: a.recorder.Answer, Unheard: a.recorder.Troubles, Tried: a.recentTried, Hits: a.ruleHits,
	}
	if a.o.Settings.AtSocket() {
		d.AtSocket, d.Connects = stage.AtSocket, a.connects
	}
	if a.names != nil {
		d.Names = func() ([]names.Known, []string) { return a.names.watch.List(), a.names.watch.Over() }
	}
	if a.kube != nil {
		d.Sources = a.kube.Status
	}
	if a.speaker != nil {
		d.Sessions, d.Received = a.speaker.states, a.speaker.received
	}
	if a.allocator != nil {
		d.Allocator = a.allocator.asked
	}
	return d
}

// think lets a view look at the world.
func (a *agent) think(ctx context.Context, f func(view.World)) error {
	return a.thinker.Query(ctx, func(m *model.Model) {
		f(view.World{Model: m, Policies: a.network.Policies.Planner, Firewalls: a.network.Policies.Walls})
	})
}

// lines are the rows of one table.
func (t *tables) lines(name string) []reconcile.Line {
	e, ok := t.named(name)
	if !ok {
		return nil
	}
	return e.lane.Lines()
}

// recentTried are the latest packets that rehearsals would drop.
func (a *agent) recentTried() (list []view.Packet, since time.Time, err error) {
	drops, since, err := a.firewall.tried.Recent()
	for i := range drops {
		d := &drops[i]
		list = append(list, view.Packet{Time: d.Time, Prefix: d.Prefix, Src: d.Src, Dst: d.Dst, Protocol: d.Protocol, SrcPort: d.SrcPort, DstPort: d.DstPort})
	}
	return list, since, err
}

// asked describes the allocator.
func (b *allocator) asked() view.Allocator {
	return view.Allocator{Leader: b.election.Leader(), Leading: b.election.Leading(), Lines: b.lane.Lines(), Pools: b.plan.Usage()}
}

var errNoFirewall = errors.New("network policies are not enforced here (--run-firewall=false), or the cluster is still being read")
