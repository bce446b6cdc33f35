package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/stage"
	"kube-router/internal/think"
)

// reporting is a reporter of one node on an API server in memory.
func reporting(t *testing.T, self string, nodes ...string) *reporter {
	t.Helper()
	m := model.New(model.Settings{Node: self})
	for _, n := range nodes {
		m.Put(&model.Node{Name: n})
	}
	r, err := newReporter(newTables(slog.New(slog.DiscardHandler)), kubestatus.NewFake().Config(), m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func notes(r *reporter) map[string]string {
	list := map[string]string{}
	for _, e := range r.events.All {
		list[e.Kind+" "+e.Name] = e.Note
	}
	return list
}

func about(kind model.Kind, name string) model.Ref {
	return model.Ref{Kind: kind, Name: model.Name{Namespace: "default", Name: name}}
}

// Of many nodes that see the same, a few tell it; every one tells what concerns itself.
func TestWhoReports(t *testing.T) {
	var nodes []string
	for i := range 20 {
		nodes = append(nodes, fmt.Sprint("node-", i))
	}
	for i := range 10 {
		told := 0
		object := about(model.KindService, fmt.Sprint("web-", i))
		for _, n := range nodes {
			r := reporting(t, n, nodes...)
			r.planned("service", object, []model.Remark{{Object: object, Field: "spec.ports", Message: "odd"}})
			told += len(notes(r))
		}
		if told != reporters {
			t.Errorf("%s is told by %d nodes, want %d", object, told, reporters)
		}
	}
	r := reporting(t, "node-1", nodes...)
	r.planned(think.Host, think.Everything, []model.Remark{
		{Object: model.Ref{Kind: model.KindNode, Name: model.Name{Name: "node-1"}}, Message: "small MTU"},
		{Object: model.Ref{Kind: model.KindNode, Name: model.Name{Name: "node-2"}}, Message: "not ours to tell"},
		{Object: model.Ref{Kind: model.KindService}, Message: "about nothing that has a name"},
	})
	if have := notes(r); len(have) != 1 || have["Node node-1"] != "small MTU" {
		t.Errorf("have %v", have)
	}
}

// TestOwnKindsAreReported: what is odd about an object of our own kinds becomes an event that kubectl describe finds.
func TestOwnKindsAreReported(t *testing.T) {
	for _, o := range []model.Object{
		&model.Pool{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindPool, Name: model.Name{Name: "o"}}, Message: "odd"}}},
		&model.L2Advertisement{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindL2, Name: model.Name{Name: "o"}}, Message: "odd"}}},
		&model.BGPAdvertisement{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindBGPAd, Name: model.Name{Name: "o"}}, Message: "odd"}}},
		&model.BGPPeer{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindBGPPeer, Name: model.Name{Name: "o"}}, Message: "odd"}}},
		&model.EgressGateway{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindEgress, Name: model.Name{Name: "o"}}, Message: "odd"}}},
		&model.ClusterPolicy{Name: "o", UID: "u", Remarks: []model.Remark{{Object: model.Ref{Kind: model.KindClusterPolicy, Name: model.Name{Name: "o"}}, Message: "odd"}}},
	} {
		r := reporting(t, "a", "a")
		r.model.Put(o)
		r.heard(think.Change{Ref: o.Ref(), New: o})
		found := 0
		for _, e := range r.events.All {
			if e.Kind == string(o.Ref().Kind) && e.Name == "o" && e.UID == "u" {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: %d events name it: %v", o.Ref(), found, notes(r))
		}
	}
}

// When a node that reported goes, another takes over.
func TestReportersMoveOn(t *testing.T) {
	nodes := []string{"a", "b", "c", "d"}
	object := about(model.KindPolicy, "deny")
	told := map[string]bool{}
	all := map[string]*reporter{}
	for _, n := range nodes {
		r := reporting(t, n, nodes...)
		r.heard(think.Change{Ref: object, New: &model.Policy{Name: object.Name, Remarks: []model.Remark{{Object: object, Message: "odd"}}}})
		all[n], told[n] = r, len(notes(r)) == 1
	}
	gone := ""
	for _, n := range nodes {
		if told[n] {
			gone = n
		}
	}
	for _, n := range nodes {
		r := all[n]
		old := r.model.Delete(model.Ref{Kind: model.KindNode, Name: model.Name{Name: gone}})
		r.heard(think.Change{Ref: old.Ref(), Old: old})
		r.settle()
		if n != gone && len(notes(r)) != 1 {
			t.Errorf("%s does not report after %s went", n, gone)
		}
	}
	r := all[nodes[0]]
	r.heard(think.Change{Ref: object, Old: &model.Policy{Name: object.Name}})
	if have := notes(r); len(have) != 0 {
		t.Errorf("the object is gone, and told are %v", have)
	}
}

// A remark becomes an event that is really made, and the announcement a condition.
func TestReportsReachTheAPI(t *testing.T) {
	fake := kubestatus.NewFake()
	m := model.New(model.Settings{Node: "n1", Router: true, CNI: model.CNISettings{Enabled: true}})
	m.Put(&model.Service{Name: model.Name{Namespace: "default", Name: "web"}, UID: "u-1"})
	list := newTables(slog.New(slog.DiscardHandler))
	r, err := newReporter(list, fake.Config(), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.vital()) != 0 || len(list.statuses()) != 2 {
		t.Errorf("tables of reports are vital: %v", list.vital())
	}
	object := about(model.KindService, "web")
	r.say(saying{"service", object}, []model.Remark{{Object: object, Field: "spec.externalIPs[0]", Message: "ignored"}})
	events, _ := list.named("events")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events.lane.OnStep(func() {
		if events.lane.Status().Settled() {
			cancel()
		}
	})
	if err := events.lane.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for name, e := range fake.Events {
		if e.Note != "spec.externalIPs[0]: ignored" || e.Regarding.UID != "u-1" {
			t.Errorf("event %s: %q about %+v", name, e.Note, e.Regarding)
		}
	}
	if len(fake.Events) != 1 {
		t.Errorf("%d events", len(fake.Events))
	}
	r.announce()
	want := row.KubeCondition{Node: "n1", Type: "NetworkUnavailable", Message: "kube-router has written routes and rules of this node"}
	if have, ok := r.conditions.Want(want.Key()); !ok || have != want {
		t.Errorf("condition %v", have)
	}
}

// A change counts when the lane has taken it, once, and never one from before our birth.
func TestLatency(t *testing.T) {
	born := time.Now()
	var seen []time.Time
	l := &latency{born: born, observe: func(trigger, _ time.Time) { seen = append(seen, trigger) }}
	at := func(d time.Duration) *model.Slice { return &model.Slice{Trigger: born.Add(d)} }
	l.heard(think.Change{New: at(-time.Hour)})
	l.heard(think.Change{New: &model.Service{}})
	l.heard(think.Change{Old: at(time.Second)})
	l.heard(think.Change{Old: at(time.Second), New: at(time.Second)})
	l.heard(think.Change{Old: at(time.Second), New: at(2 * time.Second)})
	settled := func() reconcile.Status { return reconcile.Status{Known: true} }
	l.stepped(settled)
	if len(seen) != 0 {
		t.Errorf("seen before the rows were claimed: %v", seen)
	}
	l.claimed()
	l.stepped(func() reconcile.Status { return reconcile.Status{Known: true, Dirty: 1} })
	if len(seen) != 0 {
		t.Errorf("seen while rows wait: %v", seen)
	}
	l.stepped(settled)
	l.stepped(settled)
	if len(seen) != 1 || !seen[0].Equal(born.Add(2*time.Second)) {
		t.Errorf("seen %v", seen)
	}
}

func TestModules(t *testing.T) {
	s := model.Settings{Router: true, Proxy: true, IPv6: true}
	if have := fmt.Sprint(modules(&s)); have != "[br_netfilter]" {
		t.Error(have)
	}
	s.Routes.Overlay, s.Routes.OverlayEncap = true, "fou"
	if have := fmt.Sprint(modules(&s)); have != "[br_netfilter fou fou6]" {
		t.Error(have)
	}
	for _, name := range modules(&s) {
		if moduleFor[name] == "" {
			t.Errorf("nobody knows what %s is for", name)
		}
	}
}

// Where the pods' network is another's, or no router runs, the Node's condition is not ours to tell, and no right to it is asked for.
func TestNoConditionOfOthersNetworks(t *testing.T) {
	for _, s := range []model.Settings{{Node: "n1", Router: true}, {Node: "n1", CNI: model.CNISettings{Enabled: true}}} {
		list := newTables(slog.New(slog.DiscardHandler))
		r, err := newReporter(list, kubestatus.NewFake().Config(), model.New(s))
		if err != nil {
			t.Fatal(err)
		}
		r.announce()
		if _, ok := list.named("conditions"); ok {
			t.Errorf("%+v: conditions are written", s)
		}
	}
}

// TestTheLoserOfAFrontIsTold shows that a Service whose address another one has hears of it where its owner looks, and
// that it has the front, and its event's cause goes, when the other one leaves.
func TestTheLoserOfAFrontIsTold(t *testing.T) {
	r := reporting(t, "n1", "n1")
	network := stage.New(stage.NewLedgers())
	r.model.Settings = model.Settings{Node: "n1", Proxy: true, IPv4: true}
	in := think.NewInbox()
	var th *think.Thinker
	th = think.New(r.model, in, network.Stages(), think.Hooks{
		Said: r.planned, Begin: network.Begin, Settle: func(m *model.Model) { network.Settle(m, th.Contain) },
	})
	put := func(name string, age time.Duration) {
		now := &model.Service{
			Name: model.Name{Namespace: "default", Name: name}, Created: time.Unix(1e9, 0).Add(-age),
			Families: []model.Family{model.IPv4}, ExternalIPs: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
			Ports: []model.ServicePort{{Port: 80, Protocol: model.TCP}},
		}
		in.Put(now)
		th.Once()
	}
	front := intent.Front{Addr: netip.MustParseAddr("192.0.2.7"), Port: 80, Protocol: 6}
	put("a", 0)
	put("b", time.Hour)
	if want, _ := network.Services.Intents.Want(front); want == nil || want.Owner.String() != "default/b" {
		t.Errorf("the older b has not the front but %v", want)
	}
	if have := notes(r); have["Service a"] != "spec.ports[0]: 192.0.2.7:80/tcp is not served: it is the external address of Service default/b, of 2001-09-09T00:46:40Z" {
		t.Errorf("have %v", have)
	}
	b := r.model.Services[model.Name{Namespace: "default", Name: "b"}]
	in.Delete(b.Ref())
	th.Once()
	if want, _ := network.Services.Intents.Want(front); want == nil || want.Owner.String() != "default/a" {
		t.Errorf("a has not the front after b left but %v", want)
	}
	if have := notes(r); len(have) > 0 {
		t.Errorf("have %v after the holder left", have)
	}
}
