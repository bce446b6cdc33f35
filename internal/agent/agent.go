package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"kube-router/internal/config"
	"kube-router/internal/driver/gobgp"
	"kube-router/internal/driver/healthport"
	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/driver/l2"
	"kube-router/internal/driver/nft"
	"kube-router/internal/driver/pages"
	"kube-router/internal/model"
	"kube-router/internal/observe"
	"kube-router/internal/reconcile"
	"kube-router/internal/show"
	"kube-router/internal/stage"
	"kube-router/internal/think"
	"kube-router/internal/watch/alive"
	"kube-router/internal/watch/host"
	"kube-router/internal/watch/kube"

	"github.com/vishvananda/netns"
)

// Build tells which program this is.
type Build struct{ Version string }

// agent is the running daemon.
type agent struct {
	o         *config.Options
	build     Build
	log       *slog.Logger
	born      time.Time
	inbox     *think.Inbox
	rest      *rest.Config
	kube      *kube.Watch
	host      *host.Watch
	alive     *alive.Watch // of nodes that we would take over from
	tables    *tables
	ledgers   stage.Ledgers
	network   *stage.Network
	targets   Targets
	speaker   *speaker
	firewall  *firewall
	allocator *allocator
	l2        stage.L2
	arp       *l2.Driver // what answers on links
	thinker   *think.Thinker
	meter     *show.Meter
	reports   *reporter
	latency   *latency
	tally     tally
	names     *learner // nil: policies are not enforced
	wire      *wire
	counter   counter // of Services' traffic; nil: nobody asks
	meters    []part  // what runs for it
	recorder  *observe.Recorder
	lacks     *model.Unwritten // as told last, by the goroutine of the rules' lane alone
	leaving   atomic.Bool      // our Node is being deleted
	homeless  atomic.Bool      // the cluster has been read, and knows no Node of our name
}

// Run is the daemon: it follows the cluster and this node and keeps the kernel so, until ctx ends. The
// kernel is left as it is then, so that traffic goes on. An error means that it could not work at all.
func Run(ctx context.Context, o *config.Options, build Build, log *slog.Logger) error {
	pages.Tune()
	a, err := assemble(o, build, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range a.parts() {
		g.Go(func() error {
			if err := part.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// part is one thing that runs beside the others.
type part struct {
	name string
	run  func(context.Context) error
}

func (a *agent) parts() []part {
	return append(slices.Concat(a.speaker.parts(), a.firewall.parts(), a.allocator.parts(a.thinker.Started()), a.proxyParts(), a.doors(), a.wireParts(), a.meters, a.flowParts(), a.names.parts(a.thinker.Started())), []part{
		{"Kubernetes", a.kube.Run},
		{"links", a.host.Run},
		{"silence", a.alive.Run},
		{"thinking", a.thinker.Run},
		{"tables", a.act},
		{"the cluster", a.patience},
		{"leftovers", a.takeOver},
		{"chains of others", a.followChains},
		{"memory", a.slim},
		{"leases", a.freeLeases},
	}...)
}

// act runs the tables, once the first whole picture has been planned.
func (a *agent) act(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.thinker.Started():
	}
	// A table that can't be read now is its lane's business; no reason to leave the node without any of them.
	if err := a.leave(ctx); err != nil {
		a.log.Warn("connections through the engine that was left may break", "error", err)
	}
	a.log.Info("the first plan is complete; writing")
	return a.tables.run(ctx)
}

// slim gives back the memory that the start needed.
func (a *agent) slim(ctx context.Context) error {
	if err := pages.Run(ctx, a.tables.settled); err != nil {
		a.log.Debug("more memory is used than need be", "error", err)
	}
	return nil
}

// assemble builds everything and starts nothing.
func assemble(o *config.Options, build Build, log *slog.Logger) (*agent, error) {
	a := &agent{o: o, build: build, log: log, born: time.Now(), inbox: think.NewInbox(), tables: newTables(log), lacks: &model.Unwritten{}}
	if err := a.watch(); err != nil {
		return nil, err
	}
	a.loadModules()
	if err := chooseEngine(&o.Settings, hasModule); err != nil {
		return nil, err
	}
	targets, err := kernelTargets(o)
	if err != nil {
		return nil, err
	}
	if rules, ok := targets.Nft.(*nft.Driver); ok && !rules.Own() {
		log.Info("this kernel lets others flush our tables (Linux 6.9 would not); what they remove is made again")
	}
	if err = a.newWire(&targets); err != nil {
		return nil, err
	}
	targets.Linux = count(hold(targets.Linux, a.tables.placed, everyRow), a.tally.routed)
	if h, ok := targets.Health.(*healthport.Driver); ok {
		h.Serving = func() bool { return a.pulse().Serving(time.Now()) }
	}
	if o.Settings.Router {
		if targets.Verdicts, err = kubestatus.NewVerdicts(a.rest); err != nil {
			return nil, fmt.Errorf("status of objects about BGP: %w", err)
		}
	}
	if o.Settings.Firewall {
		if targets.Reports, err = kubestatus.NewPolicies(a.rest); err != nil {
			return nil, fmt.Errorf("status of policies: %w", err)
		}
	}
	targets.BGP = count(targets.BGP, a.tally.announced(&o.Settings))
	a.open(targets)
	a.arp = l2.New(log)
	a.l2 = stage.L2{Answers: open(a.tables, answerTable, a.arp, &o.Settings), Watch: a.watchOwners}
	if err = a.lookAround(); err != nil {
		log.Warn("it is not known what other programs' chains do with packets of pods", "error", err)
	}
	m := model.New(o.Settings)
	if a.reports, err = newReporter(a.tables, a.rest, m); err != nil {
		return nil, err
	}
	if a.allocator, err = newAllocator(a.rest, o, a); err != nil {
		return nil, err
	}
	if err := a.newCounter(); err != nil {
		return nil, err
	}
	a.newRecorder()
	a.meter = show.NewMeter(build.Version, a.tables.statuses, a.samples)
	a.latency = &latency{born: a.born, observe: a.meter.Observe}
	a.thinker = think.New(m, a.inbox, a.stages(), think.Hooks{
		Synced: a.synced, Begin: a.network.Begin, Settle: a.settle, Said: a.reports.planned, Failed: planFailed(log),
		Heard: []func(think.Change){a.reports.heard, a.latency.heard, a.tally.heard, a.firewall.detached, a.named},
	})
	a.listen()
	return a, a.accompany(o, log)
}

// open opens the tables and prepares what fills them.
func (a *agent) open(to Targets) {
	a.ledgers = openTables(a.tables, a.holdLeft(to), &a.o.Settings)
	a.targets = to
	a.followSchedulers(to)
	a.network = stage.New(a.ledgers)
	t, _ := a.tables.of(ruleTable)
	a.firewall = &firewall{table: to.Nft, rules: t.lane.(waiting)}
}

// settle ends a turn: what it decided about Services goes on to rows.
func (a *agent) settle(m *model.Model) {
	self := m.Self()
	a.leaving.Store(self != nil && self.Leaving)
	a.decided(m)
	a.reports.settle()
	if a.thinker.Waits(think.Services) == 0 {
		a.latency.claimed()
	}
	if p := a.network.Policies.Planner; p != nil {
		a.tally.policySets.Store(int64(p.Sets()))
		a.names.want(p)
	}
}

// decided carries a turn's intents on to rows.
func (a *agent) decided(m *model.Model) { a.network.Settle(m, a.thinker.Contain) }

// watch prepares the sources.
func (a *agent) watch() error {
	var err error
	if a.rest, err = kube.Config(a.o.Kubeconfig, a.o.Master, "kube-router/"+a.build.Version); err != nil {
		return err
	}
	a.o.Settings.APIPort = apiPort(a.rest.Host)
	a.kube, err = kube.New(kube.Options{
		Config: a.rest, Kinds: kube.Kinds(a.o.Settings), Inbox: a.inbox, Own: a.o.Settings.Node,
		Namespace: cmp.Or(a.o.Settings.Allocator.Namespace, "kube-system"),
		Log:       a.log, Synced: func() { a.log.Info("the cluster has been read"); a.inbox.Nudge() },
	})
	a.host, a.alive = host.New(netns.None(), a.inbox), alive.New(a.inbox, a.log)
	if err == nil {
		a.speaker, err = a.newSpeaker()
	}
	return err
}

// synced tells whether every source has given its first whole picture. Without our own Node it is not whole: most of
// what an earlier life left in the kernel follows from that object, and would be removed.
func (a *agent) synced(m *model.Model) bool {
	known := m.Self() != nil
	a.homeless.Store(!known && a.kube.HasSynced())
	return known && a.kube.HasSynced() && len(m.Links) > 0 && a.speaker.synced() && a.firewall.synced() && a.names.synced()
}

// stages are what a turn runs, in this order.
func (a *agent) stages() []think.Stage {
	list := a.network.Stages()
	if a.l2.Answers != nil {
		list = append(list, a.l2.Stage())
	}
	if a.allocator != nil {
		list = append(list, a.allocator.plan.Stage())
	}
	return list
}

// planFailed logs panics in planning.
func planFailed(log *slog.Logger) func(think.ID, model.Ref, string, []byte) {
	return func(stage think.ID, u model.Ref, what string, stack []byte) {
		log.Error("planning failed: what was decided before stays in force", "stage", stage, "unit", u.String(), "panic", what, "stack", string(stack))
	}
}

// pulse is what health is judged by.
func (a *agent) pulse() show.Pulse {
	p := show.Pulse{Tables: a.tables.vital(), Busy: a.thinker.Busy()}
	select {
	case <-a.thinker.Started():
		p.Started = true
	default:
	}
	if t, ok := a.tables.of(linkTable); ok && p.Started {
		p.NoPath = a.ledgers.Ways.None(t.lane.Status())
	}
	if t, ok := a.tables.of(chainTable); ok && p.Started {
		p.Blocked = a.ledgers.Blocked.Why(t.lane.Status())
	}
	p.Leaving = a.leaving.Load()
	for _, s := range a.kube.Status() {
		if !s.Synced {
			p.Sources = append(p.Sources, "the first list of "+string(s.Kind)+"s: "+s.LastError)
		}
	}
	if !p.Started && a.homeless.Load() {
		p.Sources = append(p.Sources, fmt.Sprintf("the Node object %q: the API server has none of that name; is the name right (--hostname-override, NODE_NAME), "+
			"and has kubelet registered?", a.o.Settings.Node))
	}
	if !p.Started && !a.speaker.synced() {
		p.Sources = append(p.Sources, "the routes that the BGP speaker knows; if it does not start, the log says why")
	}
	if !p.Started && !a.firewall.synced() {
		p.Sources = append(p.Sources, "the pods that an earlier life has attached")
	}
	return p
}

// Cleanup removes from this node everything that we made: every table is run with nothing wanted. While a daemon runs it
// refuses: all would be made again at once.
func Cleanup(ctx context.Context, o *config.Options, log *slog.Logger) error {
	if _, err := show.Ask(ctx, o.ControlSocket, "summary", nil); err == nil || errors.Is(err, show.ErrSilent) {
		return fmt.Errorf("a kube-router runs here (it listens at %s) and would make everything again: stop it first", o.ControlSocket)
	}
	t := newTables(log)
	bare := *o
	bare.Settings.Proxy = false // nothing is drained
	targets, err := kernelTargets(&bare)
	if err == nil {
		targets.wire.Drain = false
	}
	if err != nil {
		return err
	}
	openTables(t, targets, &bare.Settings)
	warnOfPods(o, ports, log)
	if o.KeepPods {
		t = t.keeping()
	}
	// Peers stop sending traffic here before anything that forwards it goes.
	if err = gobgp.Stop(speakerDir(o)); err != nil {
		err = fmt.Errorf("clean up the BGP speaker: %w", err)
	}
	return errors.Join(err, t.empty(ctx))
}

// emptying is how long cleanup tries one table. What can't be removed by then is told, and the others still go.
const emptying = 20 * time.Second

// empty runs a lane until its table holds nothing.
func empty(ctx context.Context, t table) error {
	ctx, cancel := context.WithTimeout(ctx, emptying)
	defer cancel()
	t.lane.OnStep(func() {
		if s := t.lane.Status(); s.Settled() && s.Have == 0 && s.Waiting == 0 {
			cancel()
		}
	})
	if err := t.lane.Run(ctx); err != nil {
		return err
	}
	if s := t.lane.Status(); !s.Settled() || s.Have > 0 {
		return errors.New(leftover(s))
	}
	return nil
}

func leftover(s reconcile.Status) string {
	text := fmt.Sprintf("%d rows are left", s.Have)
	if s.Broken != "" {
		text = s.Broken
	}
	for _, f := range s.Failing {
		text += "; " + f.Row + ": " + f.Error
	}
	return text
}
