package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/file"
	"kube-router/internal/driver/nfnetlink/nflog"
	drv "kube-router/internal/driver/nft"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/podlink"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/stage"
	"kube-router/internal/think"
	"kube-router/internal/watch/cni"
)

// firewall is what policies have beside their stage: who waits for the rules, who reads them back, and who
// ends flows that they forbid.
type firewall struct {
	rules  waiting
	table  row.Target[row.NftKey, row.Nft]
	attach *cni.Server       // nil: nobody asks before a pod starts
	cutter *conntrack.Cutter // nil: flows that stand may stay
	turner *conntrack.Cutter // nil: no pod leaves by a gateway
	tried  *nflog.OnDemand   // what rehearsals would drop
}

// waiting is a lane that one can wait for.
type waiting interface {
	Wait(context.Context, ...row.NftKey) error
}

// counting is a table that tells what its rules have counted.
type counting interface {
	ChainCounters(context.Context, bool, ...string) (map[row.NftKey]drv.Counter, error)
}

// accompany prepares the firewall's companions on a real node.
func (a *agent) accompany(o *config.Options, log *slog.Logger) error {
	a.newNames()
	f := a.firewall
	f.tried = nflog.NewOnDemand(0, nft.RehearsalLogGroup)
	s := &o.Settings
	if s.Guards() {
		f.attach = cni.New(s.CNI.Socket, a.inbox, a, log)
		if err := f.attach.Load(); err != nil {
			return err
		}
	}
	cut, gone := s.Firewall && !s.Policy.KeepFlows, !s.Firewall && !s.Policy.KeepFlows && s.Guards()
	if !cut && !gone && !s.Gateways {
		return nil
	}
	flows, err := conntrack.Open(netns.None())
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	if s.Gateways {
		a.network.Gateways.Watch = a.watchNodes
		f.turner = conntrack.NewCutter(flows, a.leftWrong, log)
		f.turner.Why = "that leave the cluster otherwise now"
		a.network.Gateways.Turned = func(addrs []netip.Addr, keys []row.NftKey) {
			f.turner.Mark(func(ctx context.Context) error { return f.rules.Wait(ctx, keys...) }, addrs...)
		}
	}
	if gone {
		f.cutter = conntrack.NewCutter(flows, a.orphaned, log)
		f.cutter.Why = "whose pod has gone"
	}
	if !cut {
		return nil
	}
	f.cutter = conntrack.NewCutter(flows, a.forbidden, log)
	a.network.Policies.Tightened = func(addrs []netip.Addr, keys []row.NftKey) {
		f.cutter.Mark(func(ctx context.Context) error { return f.rules.Wait(ctx, keys...) }, addrs...)
	}
	return nil
}

// synced tells whether the attachments of an earlier life have been told.
func (f *firewall) synced() bool { return f.attach == nil || f.attach.Synced() }

// parts are what runs beside the others for the firewall.
func (f *firewall) parts() []part {
	list := []part{{"rehearsals", f.tried.Run}}
	if f.attach != nil {
		list = append(list, part{"CNI socket", f.attach.Run})
	}
	if f.turner != nil {
		list = append(list, part{"flows of gateways", f.turner.Run})
	}
	if f.cutter != nil {
		list = append(list, part{"forbidden flows", f.cutter.Run})
	}
	return list
}

const icmp, icmp6 = 1, 58

// forbidden are the flows that this node's policies don't allow now. Who really answers counts, since
// policies judge after translation. Those of a pod that has gone end too: whoever gets its address must not
// inherit them.
func (a *agent) forbidden(ctx context.Context, flows []conntrack.Flow, marked func(netip.Addr) bool) ([]conntrack.Flow, error) {
	var bad []conntrack.Flow
	err := a.thinker.Query(ctx, func(*model.Model) {
		planner := a.network.Policies.Planner
		if planner == nil {
			return
		}
		for _, f := range flows {
			if f.Protocol == icmp || f.Protocol == icmp6 {
				continue // echo ends by itself
			}
			from, to := f.Orig.Src.Addr(), f.Reply.Src.Addr()
			vacant := func(a netip.Addr) bool { return marked(a) && planner.Vacant(a) && !planner.OwnAddr(a) }
			if vacant(from) || vacant(to) || planner.Forbids(policy.Flow{
				From: from, To: to, Protocol: model.Protocol(f.Protocol), Port: model.Port(f.Reply.Src.Port()),
			}) {
				bad = append(bad, f)
			}
		}
	})
	return bad, err
}

// orphaned are the flows of addresses that no pod of this node has any more, where there are no policies. Without that, a
// client of a pod's host port that never falls silent would for ever be sent where nobody is: plugin portmap ends such
// flows only when another pod takes the port.
func (a *agent) orphaned(ctx context.Context, flows []conntrack.Flow, marked func(netip.Addr) bool) ([]conntrack.Flow, error) {
	var bad []conntrack.Flow
	err := a.thinker.Query(ctx, func(m *model.Model) {
		gone := func(at netip.Addr) bool { return marked(at) && !attached(m, at) }
		for _, f := range flows {
			if gone(f.Orig.Src.Addr()) || gone(f.Reply.Src.Addr()) {
				bad = append(bad, f)
			}
		}
	})
	return bad, err
}

// attached tells whether a pod of this node has an address.
func attached(m *model.Model, at netip.Addr) bool {
	for _, o := range m.Attached {
		if slices.Contains(o.Addrs, at) {
			return true
		}
	}
	return false
}

// detached hears which addresses pods of this node lose, where there are no policies.
func (f *firewall) detached(c think.Change) {
	old, ok := c.Old.(*model.Attachment)
	if !ok || f.cutter == nil {
		return
	}
	var lost []netip.Addr
	now, _ := c.New.(*model.Attachment)
	for _, at := range old.Addrs {
		if now == nil || !slices.Contains(now.Addrs, at) {
			lost = append(lost, at)
		}
	}
	if len(lost) > 0 {
		f.cutter.Mark(func(context.Context) error { return nil }, lost...)
	}
}

// Stands returns when the policy of an attached pod is in the kernel, and the guard of its port.
func (a *agent) Stands(ctx context.Context, at *model.Attachment) error {
	var w *stage.Waiter
	err := a.thinker.Query(ctx, func(m *model.Model) { w = a.network.Policies.Await(m, at) })
	if err != nil {
		return fmt.Errorf("the daemon is still starting: %w", err)
	}
	select {
	case keys := <-w.Keys:
		return a.firewall.rules.Wait(ctx, keys...)
	case <-ctx.Done():
	}
	why := errors.New("its rules are not decided yet")
	// The plugin may be gone already, the question is still whose waiter it was.
	_ = a.thinker.Query(context.WithoutCancel(ctx), func(m *model.Model) {
		a.network.Policies.Forget(w)
		if a.o.Settings.Firewall && m.Pods[at.Pod] == nil {
			why = fmt.Errorf("the API server has not reported pod %s yet", at.Pod)
		}
	})
	return why
}

// Wish tells what the Pod of an attachment asks for its interface.
func (a *agent) Wish(ctx context.Context, at *model.Attachment) (model.Wish, error) {
	var w *stage.Waiter
	if err := a.thinker.Query(ctx, func(m *model.Model) { w = a.network.Policies.Meet(m, at) }); err != nil {
		return model.Wish{}, fmt.Errorf("the daemon is still starting: %w", err)
	}
	select {
	case o := <-w.Pod:
		if o == nil || o.Wish == nil {
			return model.Wish{}, nil
		}
		return *o.Wish, nil
	case <-ctx.Done():
	}
	_ = a.thinker.Query(context.WithoutCancel(ctx), func(*model.Model) { a.network.Policies.Forget(w) })
	return model.Wish{}, fmt.Errorf("the API server has not reported pod %s yet", at.Pod)
}

// Ready tells why no pod could start now.
func (a *agent) Ready() error {
	select {
	case <-a.thinker.Started():
	default:
		return errors.New("kube-router is still reading the cluster")
	}
	t, _ := a.tables.of(ruleTable)
	if s := t.lane.Status(); !s.Known || s.Broken != "" {
		return fmt.Errorf("the rules can't be written: %s", s.Broken)
	}
	return nil
}

// freeLeases gives back, once, the addresses of pods that are gone: a node that lost its power, or a plugin that was killed, left them.
func (a *agent) freeLeases(context.Context) error {
	s := &a.o.Settings
	name, dataDir, ok := file.Network(s.CNI.File)
	if !s.OwnsNetwork() || !ok {
		return nil
	}
	freed, err := podlink.FreeAtStart(dataDir, name, filepath.Join(filepath.Dir(s.CNI.Socket), "attached"), time.Now())
	if err != nil {
		a.log.Warn("addresses of pods that are gone were not all freed", "error", err)
	}
	if freed > 0 {
		a.log.Info("addresses of pods that are gone are free", "addresses", freed)
	}
	return nil
}
