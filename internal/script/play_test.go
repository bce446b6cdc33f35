package script

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/agent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/watch/kube"
)

// play is one way to tell the same story. All end with the same things being true.
type play struct {
	name    string
	events  []event
	cold    bool   // all is true before the daemon starts
	batch   int    // the last so many become true at once
	restart bool   // the daemon is killed after every event, and another starts
	meddle  bool   // at the end a stranger removes rows
	faults  uint64 // seed of faults; 0: none
}

// plays are all ways in which a script is told.
func plays(s *script) []play {
	var told []event
	for _, e := range s.events {
		if e.look == "" {
			told = append(told, e)
		}
	}
	twice := make([]event, 0, 2*len(told))
	for _, e := range told {
		twice = append(twice, e, e)
	}
	back := slices.Clone(told)
	slices.Reverse(back)
	list := []play{
		{name: "straight", events: s.events},
		{name: "reversed", events: append(back, last(told)...)},
		{name: "duplicated", events: twice},
		{name: "squashed", events: told, batch: len(told)},
		{name: "cold", events: told, cold: true},
		{name: "restarts", events: told, restart: true},
		{name: "stranger", events: told, meddle: true},
	}
	for _, n := range []int{2, 3, len(told) / 2} {
		list = append(list, play{name: fmt.Sprint("squashed at the end ", n), events: told, batch: min(n, len(told))})
	}
	for seed := range uint64(4) {
		list = append(list, play{name: fmt.Sprint("shuffled ", seed), events: shuffle(told, seed)})
	}
	for seed := range uint64(3) {
		list = append(list, play{name: fmt.Sprint("faults ", seed), events: told, faults: seed + 1})
	}
	return append(list, play{name: "faults and restarts", events: shuffle(told, 9), faults: 9, restart: true})
}

// last is the last word on everything that the events are about.
func last(events []event) []event {
	final := map[model.Ref]event{}
	for _, e := range events {
		final[e.ref] = e
	}
	return slices.SortedFunc(maps.Values(final), func(a, b event) int { return -a.ref.Compare(b.ref) })
}

// shuffle gives the events in another order, those about one object in their own, as watches do.
func shuffle(events []event, seed uint64) []event {
	dice := rand.New(rand.NewPCG(seed, 2))
	queues := map[model.Ref][]event{}
	var turns []model.Ref
	for _, e := range events {
		queues[e.ref] = append(queues[e.ref], e)
		turns = append(turns, e.ref)
	}
	dice.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	var list []event
	for _, r := range turns {
		list = append(list, queues[r][0])
		queues[r] = queues[r][1:]
	}
	return list
}

// outcome is all that can be seen at the end.
type outcome struct {
	Intents, Remarks []string
	Looks            map[string][2][]string // intents and remarks on the way
	Rows             map[string][]reconcile.Line
	Kernel           map[string][]string
}

// player plays one play.
type player struct {
	t     *testing.T
	world *world
	known map[model.Ref]model.Object // what is true so far
	rig   *agent.Rig
	life  context.Context // of the rig; it ends early if the rig does
	stop  func()
	looks map[string][2][]string

	before map[string][]string // the fake kernel as the daemon found it
}

// perform plays in a bubble in which time passes as soon as nothing else happens.
func perform(t *testing.T, s *script, p play) (out outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &player{t: t, world: newWorld(t, s, p.faults), known: map[model.Ref]model.Object{}, looks: map[string][2][]string{}}
		a.before = a.world.dump(t)
		if p.cold {
			a.all(p.events, func(event) {})
		}
		a.start()
		if !p.cold {
			single := len(p.events) - p.batch
			a.all(p.events[:single], func(e event) { a.one(p, e) })
			a.check(a.rig.Together(a.life, func() { a.all(p.events[single:], a.tell) }))
		}
		a.settle()
		if p.meddle {
			a.world.meddle(t)
			a.again()
		}
		a.world.faults.stop()
		a.again() // the real kernel tells what goes along with something else, a route with its link
		out = a.outcome()
		a.stop()
		a.clean()
	})
	return out
}

func (a *player) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// all notes what becomes true and does what is to be done with it. Kinds that are not watched stay unknown.
func (a *player) all(events []event, do func(event)) {
	kinds := a.kinds()
	for _, e := range events {
		if e.look == "" && !slices.Contains(kinds, e.ref.Kind) {
			continue
		}
		if e.object != nil {
			a.known[e.ref] = e.object
		} else {
			delete(a.known, e.ref)
		}
		do(e)
	}
}

// kinds are those that the daemon's sources report.
func (a *player) kinds() []model.Kind {
	return append(kube.Kinds(a.world.options.Settings), model.KindLink, model.KindPath, model.KindAttachment, model.KindIdentity, model.KindAnswer)
}

// one tells one event and lets its consequences come, but doesn't wait for what takes time.
func (a *player) one(p play, e event) {
	switch {
	case e.look != "":
		a.settle()
		a.looks[e.look] = [2][]string{a.rig.Intents(), a.remarks()}
		return
	case p.restart:
		a.stop()
		a.start()
	default:
		a.tell(e)
	}
	synctest.Wait()
}

func (a *player) tell(e event) {
	if e.object == nil {
		a.rig.Inbox.Delete(e.ref)
		return
	}
	a.rig.Inbox.Put(e.object)
}

// start begins a life of the daemon with what is true now as its first picture.
func (a *player) start() {
	a.rig = agent.NewRig(a.world.options, a.world.targets(), quiet())
	for _, k := range a.kinds() {
		var list []model.Object
		for r, o := range a.known {
			if r.Kind == k {
				list = append(list, o)
			}
		}
		a.rig.Inbox.Replace(k, list)
	}
	a.rig.Whole()
	life, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		if err := a.rig.Run(life); err != nil {
			a.t.Errorf("the daemon died: %v", err)
		}
	}()
	a.life = life
	a.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// settle lets time pass until everything wanted is there, or until it is plain that something never will be.
func (a *player) settle() {
	for range 300 {
		synctest.Wait()
		if !slices.ContainsFunc(a.rig.Tables(), func(s reconcile.Status) bool { return !s.Settled() || s.Waiting > 0 }) {
			return
		}
		time.Sleep(time.Second)
	}
}

// clean checks that cleanup leaves the fake kernel as it was, but for flows that ended.
func (a *player) clean() {
	a.check(agent.Clear(a.t.Context(), a.world.targets(), quiet()))
	after := a.world.dump(a.t)
	after["flows"] = a.before["flows"]
	if d := cmp.Diff(a.before, after); d != "" {
		a.t.Errorf("cleanup doesn't leave what was there before (- before, + after):\n%s", d)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// again has every table read anew. A lane gives a kick a moment, lest a storm of them keep it reading.
func (a *player) again() {
	a.rig.Kick()
	time.Sleep(time.Second)
	a.settle()
}

func (a *player) remarks() []string {
	list, err := a.rig.Remarks(a.life)
	a.check(err)
	var lines []string
	for _, r := range list {
		lines = append(lines, r.String())
	}
	return lines
}

func (a *player) outcome() outcome {
	o := outcome{Intents: a.rig.Intents(), Remarks: a.remarks(), Looks: a.looks,
		Rows: map[string][]reconcile.Line{}, Kernel: a.world.dump(a.t)}
	for _, s := range a.rig.Tables() {
		for _, l := range a.rig.Lines(s.Table) {
			slices.Sort(l.Owners) // who of several stands for a row that all want alike is nobody's business
			l.Row = strings.ReplaceAll(l.Row, a.world.dir, "$WORK")
			o.Rows[s.Table] = append(o.Rows[s.Table], l)
		}
	}
	return o
}
