package script

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// effect is what a flag or an annotation does to the story of testdata/surface: lines that go and lines that come, each
// "table: part of the line". No other table may change.
type effect struct {
	name  string // of the flag or annotation
	value string
	also  string // flags that are said with and without it
	pair  string // a flag that is said with it only, since neither stands alone
	given string // a file of the story that is applied as well, with and without it
	less  []string
	more  []string
	same  []string // nothing may change: what it asks for is so without it, as these lines show
}

// surface is the story on which effects are shown.
func surface(t *testing.T) *script {
	t.Helper()
	return read(t, "testdata/surface/story.txtar")
}

// excluded is a virtual server that another life left on our dummy link.
var excluded = netip.MustParseAddr("10.96.0.200")

// tell tells the story and then goes on with more events; it returns what can be seen after each of them, and in the end
// how often tables are read and how an endpoint goes that has a connection.
func tell(t *testing.T, flags []string, given string, more ...event) (seen [][]string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := surface(t)
		s.flags = append(s.flags, flags...)
		if given != "" {
			if err := s.apply(given); err != nil {
				t.Fatal(err)
			}
		}
		a := &player{t: t, world: newWorld(t, s, 0), known: map[model.Ref]model.Object{}}
		a.world.ipvs.Foreign(row.IpvsServer{Front: row.IpvsFront{Addr: excluded, Port: 80, Protocol: 6}, Scheduler: "rr"})
		a.world.ipvs.Bind(excluded)
		a.all(s.events, func(event) {})
		a.start()
		a.settle()
		seen = append(seen, a.seen())
		for _, e := range more {
			a.all([]event{e}, func(e event) { a.one(play{}, e) })
			a.settle()
			seen = append(seen, a.seen())
		}
		seen[len(seen)-1] = append(seen[len(seen)-1], slices.Concat(a.paces(), a.drain(s))...)
		a.stop()
	})
	return seen
}

// seen is everything that rows, remarks and files tell, as "table: line".
func (a *player) seen() []string {
	var list []string
	o := a.outcome()
	for _, r := range o.Remarks {
		list = append(list, "remark: "+r)
	}
	for table, lines := range o.Rows {
		for _, l := range lines {
			if l.Have && !l.Foreign {
				list = append(list, table+": "+l.Row)
			}
		}
	}
	for _, table := range []string{"cni", "ipvs"} {
		for _, l := range o.Kernel[table] {
			list = append(list, table+" has: "+strings.TrimSpace(l))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// paces tells how often each table is read when nothing happens.
func (a *player) paces() []string {
	before := map[string]uint64{}
	for _, s := range a.rig.Tables() {
		before[s.Table] = s.Stats.Looks
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	var list []string
	for _, s := range a.rig.Tables() {
		list = append(list, fmt.Sprintf("pace: %s is read every %s", s.Table, time.Hour/time.Duration(max(s.Stats.Looks-before[s.Table], 1))))
	}
	return list
}

// drain takes the endpoint on n3 away while it has a connection, and looks for it after a while.
func (a *player) drain(s *script) []string {
	front := row.IpvsFront{Addr: netip.MustParseAddr("10.96.0.10"), Port: 8080, Protocol: 6}
	gone := row.IpvsKey{Front: front, To: netip.MustParseAddrPort("10.244.3.5:8080")}
	if !slices.ContainsFunc(a.rig.Lines("ipvs"), func(l reconcile.Line) bool { return strings.Contains(l.Row, "10.96.0.10:8080 -r 10.244.3.5:8080") }) {
		return nil
	}
	a.world.ipvs.Connect(gone, 1)
	s.events = nil
	a.check(s.apply("drained.yaml"))
	a.all(s.events, a.tell)
	var list []string
	begin := time.Now()
	for _, after := range []time.Duration{5 * time.Second, 45 * time.Second} {
		time.Sleep(time.Until(begin.Add(after)))
		synctest.Wait()
		for _, l := range a.world.dump(a.t)["ipvs"] {
			if strings.Contains(l, "10.96.0.10:8080 -r 10.244.3.5:8080") {
				list = append(list, fmt.Sprintf("draining: %s later %s", after, l))
			}
		}
	}
	return list
}

// compare judges what an effect did.
func (e effect) compare(t *testing.T, before, after []string) {
	t.Helper()
	less, more := without(before, after), without(after, before)
	if os.Getenv("EFFECTS") != "" {
		t.Logf("%s=%s %s\n- %s\n+ %s", e.name, e.value, e.also, strings.Join(less, "\n- "), strings.Join(more, "\n+ "))
	}
	differ := fmt.Sprintf("the difference is\n- %s\n+ %s", strings.Join(less, "\n- "), strings.Join(more, "\n+ "))
	for _, side := range []struct {
		sign       string
		want, have []string
	}{{"-", e.less, less}, {"+", e.more, more}, {"=", e.same, before}} {
		for _, w := range side.want {
			if !has(side.have, w) {
				t.Errorf("%s=%s: no line %s %q; %s", e.name, e.value, side.sign, w, differ)
			}
		}
	}
	for _, l := range slices.Concat(less, more) {
		table, _, _ := strings.Cut(l, ": ")
		if !slices.ContainsFunc(slices.Concat(e.less, e.more), func(w string) bool { return strings.HasPrefix(w, table+": ") }) {
			t.Errorf("%s=%s: changes more than it says: %s", e.name, e.value, l)
		}
	}
	if len(e.less)+len(e.more)+len(e.same) == 0 {
		t.Errorf("%s=%s: the case names no line", e.name, e.value)
	}
}

// has finds a line by its table and a part of the rest.
func has(lines []string, want string) bool {
	table, part, _ := strings.Cut(want, ": ")
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, table+": ") && strings.Contains(l, part) })
}

// told remembers the stories told without the flag under test, which many cases share.
type told map[string][]string

func (m told) without(t *testing.T, also, given string) []string {
	t.Helper()
	if _, ok := m[also+given]; !ok {
		m[also+given] = tell(t, strings.Fields(also), given)[0]
	}
	return slices.Clone(m[also+given])
}

// unshown are names without a case, sorted.
func unshown(names map[string]bool, cases []effect) []string {
	for _, c := range cases {
		delete(names, c.name)
	}
	return slices.Sorted(maps.Keys(names))
}
