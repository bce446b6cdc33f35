package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/ipvs"
	"kube-router/internal/driver/podns"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// chooseEngine turns auto into an engine: ipvs where the kernel has it.
func chooseEngine(s *model.Settings, has bool) error {
	switch engine := &s.Services.Engine; {
	case *engine == model.EngineIPVS && !has && s.Proxy:
		return errors.New("--service-proxy-engine=ipvs: this kernel has no IPVS (module ip_vs); auto and nftables work without")
	case *engine == model.EngineAuto && has:
		*engine = model.EngineIPVS
	case *engine == model.EngineAuto:
		*engine = model.EngineNftables
	}
	return nil
}

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
	case s.Services.Engine != model.EngineIPVS:
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

// holdLeft lets the rules of the nftables engine stand while ipvs takes over, until all that it needs stands: virtual
// servers and addresses, but also the settings with which IPVS is tracked and its own rules, which are tables beside.
func (a *agent) holdLeft(to Targets) Targets {
	if s := &a.o.Settings; s.Proxy && s.Services.Engine == model.EngineIPVS {
		to.Nft = hold(to.Nft, a.tables.placed, func(k row.NftKey) bool { return strings.HasPrefix(k.Name, "services-") })
	}
	return to
}

// remaining owns what connections through IPVS need for as long as there are some, after another engine has
// taken over. Whatever else is wanted at the same keys wins.
func remaining() reconcile.Owner {
	return reconcile.Owner{Rank: 1000, Name: "connections through IPVS"}
}

// leave finds out whether another engine than this daemon's had the Services, and lets what it made go last.
// From nftables to ipvs nothing more is to be done: the kernel translates what it has begun to translate. IPVS
// forwards each packet, so that its addresses, routes, rules and settings stand as they were left until its
// last connection has ended.
func (a *agent) leave(ctx context.Context) error {
	if a.targets.Ipvs == nil || a.o.Settings.Services.Engine == model.EngineIPVS && a.o.Settings.Proxy {
		return nil
	}
	a.tables.leave(serverTable)
	have, err := a.targets.Ipvs.Dump(ctx)
	if err != nil || len(have) == 0 {
		return err
	}
	for _, f := range []func() error{
		func() error { return remain(ctx, a.ledgers.Linux, a.targets.Linux, ipvsLinux) },
		func() error { return remain(ctx, a.ledgers.Nft, a.targets.Nft, ipvsNft) },
		func() error { return remain(ctx, a.ledgers.Sysctl, a.targets.Sysctl, ipvsSysctl) },
		func() error {
			return remain(ctx, a.ledgers.Pods, a.targets.Pods, func(row.PodVIP) bool { return true })
		},
	} {
		if err := f(); err != nil {
			return fmt.Errorf("find what connections through IPVS need: %w", err)
		}
	}
	a.log.Info("another engine takes over; connections through IPVS may end", "rows", len(have))
	return nil
}

// remain claims those rows of a table that are there and that keep chooses.
func remain[K comparable, R row.Row[K]](ctx context.Context, l *reconcile.Ledger[K, R], t row.Target[K, R], keep func(R) bool) error {
	have, err := t.Dump(ctx)
	if err != nil {
		return err
	}
	l.Claim(remaining(), of(have, keep)...)
	return nil
}

// left lets go when the last connection through an engine that was left has ended.
func (a *agent) left(t table) {
	if t.serves == "" || !t.last {
		return
	}
	if s := t.lane.Status(); s.Known && s.Have == 0 && s.Waiting == 0 {
		a.ledgers.Linux.Claim(remaining())
		a.ledgers.Nft.Claim(remaining())
		a.ledgers.Sysctl.Claim(remaining())
		a.ledgers.Pods.Claim(remaining())
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

// ipvsLinux tells the rows that bring packets to IPVS.
func ipvsLinux(r row.Linux) bool {
	switch r := r.(type) {
	case row.Link:
		return r.Name == row.DummyName
	case row.Addr:
		return r.Dev == row.DummyName
	case row.Route:
		return r.Table == row.TableLocal || r.Table == row.TableDSR || r.Table == row.TableExternal
	case row.Rule:
		return r.Priority == row.RuleDSR || r.Priority == row.RuleExternal
	}
	return false
}

func ipvsSysctl(r row.Sysctl) bool { return strings.HasPrefix(r.Name, "net/ipv4/vs/") }

func ipvsNft(r row.Nft) bool {
	name := r.Key().Name
	return strings.HasPrefix(name, "ipvs-") || strings.HasPrefix(name, "dsr-")
}
