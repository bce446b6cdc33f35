package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/ipvs"
	"kube-router/internal/driver/podns"
	"kube-router/internal/engine"
	"kube-router/internal/engine/engines"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// chooseEngine turns auto into an engine: the first whose facility the kernel has.
func chooseEngine(s *model.Settings, has func(module string) bool) error {
	var works []string
	for _, e := range engines.All() {
		f := e.Facility()
		there := f.Module == "" || has(f.Module)
		switch {
		case there && s.Services.Engine == model.EngineAuto:
			s.Services.Engine = e.Name()
		case there:
			works = append(works, string(e.Name()))
		}
	}
	f := engine.Of(engines.All(), s.Services.Engine).Facility()
	if s.Proxy && f.Module != "" && !has(f.Module) {
		return fmt.Errorf("--service-proxy-engine=%s: this kernel has no %s (module %s); auto and %s work without", s.Services.Engine, f.What, f.Module, strings.Join(works, ", "))
	}
	return nil
}

// hasModule tells whether the kernel has what an engine's module brings.
func hasModule(name string) bool { return name != "ip_vs" || hasIpvs() }

// hasIpvs tells whether the kernel has IPVS.
func hasIpvs() bool { return ipvs.Available(netns.None()) }

// ipvsTargets are the tables of the ipvs engine. They are open whatever the engine is, so that an engine that
// was left is cleaned up; a kernel without IPVS has neither.
func ipvsTargets(s *model.Settings, folder string, to *Targets) error {
	if !hasIpvs() {
		return nil
	}
	k, err := ipvs.Open(netns.None())
	if err != nil {
		return fmt.Errorf("open IPVS: %w", err)
	}
	options := IpvsOptions(s)
	options.Originals = filepath.Join(folder, "ipvs-timeouts.json")
	d := ipvs.New(k, options)
	to.Ipvs, to.OnLack = d, d.OnLack
	to.Pods = podns.New(podns.Options{Runtime: s.Services.RuntimeEndpoint})
	return nil
}

// IpvsOptions are how the driver treats what it removes.
func IpvsOptions(s *model.Settings) ipvs.Options {
	o := ipvs.Options{Excluded: s.Services.Excluded}
	switch {
	case !s.Proxy:
	case s.Services.Engine != serverTable.serves:
		o.Grace = ipvs.Forever // another engine takes over: what goes on through this one ends by itself
	case s.Services.Graceful:
		o.Grace = s.Services.GracePeriod
	}
	return o
}

// openIpvs opens the tables of the ipvs engine, if the kernel has it. Else what is wanted of them goes nowhere.
func openIpvs(t *tables, to Targets, s *model.Settings) (*reconcile.Ledger[row.IpvsKey, row.Ipvs], *reconcile.Ledger[row.PodVIPKey, row.PodVIP]) {
	if to.Ipvs == nil {
		return reconcile.NewLedger[row.IpvsKey, row.Ipvs](), reconcile.NewLedger[row.PodVIPKey, row.PodVIP]()
	}
	return open(t, serverTable, to.Ipvs, s), open(t, podTable, to.Pods, s)
}

// followSchedulers lets the planners know which schedulers the kernel doesn't have.
func (a *agent) followSchedulers(to Targets) {
	if to.OnLack == nil {
		return
	}
	to.OnLack(func(schedulers []string) {
		var list []model.Object
		for _, name := range schedulers {
			list = append(list, &model.Lack{Scheduler: name})
		}
		a.inbox.Replace(model.KindLack, list)
	})
}

// others are the engines that don't carry Services here.
func (a *agent) others() []engine.Engine {
	s := &a.o.Settings
	return slices.DeleteFunc(engines.All(), func(e engine.Engine) bool { return s.Proxy && e.Name() == s.Services.Engine })
}

// holdLeft lets the rules of an engine that is left stand until all that its successor needs stands, which may be in tables
// beside: servers, addresses, settings.
func (a *agent) holdLeft(to Targets) Targets {
	for _, e := range a.others() {
		if f := e.Facility(); a.o.Settings.Proxy && !f.PerPacket && f.Nft != nil {
			to.Nft = hold(to.Nft, a.tables.placed, f.Nft)
		}
	}
	return to
}

// remaining owns what connections through an engine need for as long as there are some, after another one has taken over.
// Whatever else is wanted at the same keys wins.
func remaining(f engine.Facility) reconcile.Owner {
	return reconcile.Owner{Rank: 1000, Name: "connections through " + f.What}
}

// leave finds out whether another engine than this daemon's had the Services, and lets what it made go last. Where the kernel
// goes on with what it has begun nothing more is to be done. What an engine that forwards each packet needs stands as it was left
// until its last connection has ended.
func (a *agent) leave(ctx context.Context) error {
	for _, e := range a.others() {
		t, ok := a.tables.serving(e.Name())
		if f := e.Facility(); ok && f.PerPacket {
			if err := a.letGo(ctx, t, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *agent) letGo(ctx context.Context, t table, f engine.Facility) error {
	a.tables.leave(t.kind)
	have, err := t.count(ctx)
	if err != nil || have == 0 {
		return err
	}
	for _, remain := range []func() error{
		func() error { return remain(ctx, f, a.ledgers.Linux, a.targets.Linux, f.Linux) },
		func() error {
			return remain(ctx, f, a.ledgers.Nft, a.targets.Nft, func(r row.Nft) bool { return f.Nft(r.Key()) })
		},
		func() error { return remain(ctx, f, a.ledgers.Sysctl, a.targets.Sysctl, f.Sysctl) },
		func() error {
			return remain(ctx, f, a.ledgers.Pods, a.targets.Pods, func(row.PodVIP) bool { return true })
		},
	} {
		if err := remain(); err != nil {
			return fmt.Errorf("find what connections through %s need: %w", f.What, err)
		}
	}
	a.log.Info("another engine takes over; connections through "+f.What+" may end", "rows", have)
	return nil
}

// remain claims those rows of a table that are there and that keep chooses.
func remain[K comparable, R row.Row[K]](ctx context.Context, f engine.Facility, l *reconcile.Ledger[K, R], t row.Target[K, R], keep func(R) bool) error {
	have, err := t.Dump(ctx)
	if err != nil {
		return err
	}
	l.Claim(remaining(f), of(have, keep)...)
	return nil
}

// left lets go when the last connection through an engine that was left has ended.
func (a *agent) left(t table) {
	if t.serves == "" || !t.last {
		return
	}
	if s := t.lane.Status(); s.Known && s.Have == 0 && s.Waiting == 0 {
		owner := remaining(engine.Of(engines.All(), t.serves).Facility())
		a.ledgers.Linux.Claim(owner)
		a.ledgers.Nft.Claim(owner)
		a.ledgers.Sysctl.Claim(owner)
		a.ledgers.Pods.Claim(owner)
	}
}

// leave makes a table start after all others.
func (t *tables) leave(k *kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		t.list[i].last = t.list[i].last || t.list[i].kind == k
	}
}

func of[K comparable, R any](rows map[K]R, keep func(R) bool) []R {
	var list []R
	for _, r := range rows {
		if keep(r) {
			list = append(list, r)
		}
	}
	return list
}
