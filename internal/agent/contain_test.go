package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// TestAPanicStaysWithItsObject: a Service whose planning panics keeps its rows and is told of; all others go on.
func TestAPanicStaysWithItsObject(t *testing.T) {
	l := benchLedgers()
	s := newServices(l)
	bad := ""
	st := s.stage()
	plan := st.plan
	st.plan = func(m *model.Model, u model.Ref) []model.Remark {
		if u.Name.Name == bad {
			panic("injected")
		}
		return plan(m, u)
	}
	th := newThinker(benchThinker(model.EngineNftables, 3).model, NewInbox(), []stage{st})
	th.settle = s.settle
	th.synced = func() bool { return true }
	var heard []string
	th.failed = func(stage string, u model.Ref, what string, stack []byte) {
		heard = append(heard, stage+" "+u.String()+" "+what)
		if !strings.Contains(string(stack), "contain_test.go") {
			t.Errorf("the stack doesn't tell where:\n%s", stack)
		}
	}
	bad = "none yet"
	th.planAll()
	rows := func(i int) []row.Nft {
		f := intent.Front{Addr: netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), Port: 80, Protocol: uint8(model.TCP)}
		return l.nft.Claims(reconcile.Owner{Name: f.String()})
	}
	one, two := rows(1), rows(2)

	bad = "1"
	th.think([]change{putChange(th.model, benchSlice(1, 3)), putChange(th.model, benchSlice(2, 12))})
	if len(one) == 0 || !slices.Equal(rows(1), one) {
		t.Errorf("the Service that failed has %v, had %v", rows(1), one)
	}
	if slices.Equal(rows(2), two) {
		t.Errorf("the other one has still %v", two)
	}
	if th.panics.Load() != 1 || len(heard) != 1 || heard[0] != "service Service default/1 injected" {
		t.Errorf("%d panics, heard %q", th.panics.Load(), heard)
	}
	remarks := th.allRemarks()
	if len(remarks) != 1 || remarks[0].Object.Name.Name != "1" || !strings.Contains(remarks[0].Message, "planning failed (service)") {
		t.Errorf("remarks %v", remarks)
	}

	bad = ""
	th.think([]change{putChange(th.model, benchSlice(1, 4))})
	if remarks := th.allRemarks(); len(remarks) != 0 {
		t.Errorf("remarks stay: %v", remarks)
	}
	if slices.Equal(rows(1), one) {
		t.Errorf("the Service that works again has still %v", one)
	}
}

func putChange(m *model.Model, o model.Object) change {
	return change{ref: o.Ref(), old: m.Put(o), new: o}
}

// TestAPanicOfAStageKeepsTheOthers: where even the finding of units panics, the other stages of the same turn are planned, from the
// first picture on.
func TestAPanicOfAStageKeepsTheOthers(t *testing.T) {
	broken := stage{name: "broken", units: func(*model.Model) []model.Ref { panic("units") }, note: func(change, func(model.Ref)) { panic("note") },
		plan: func(*model.Model, model.Ref) []model.Remark { panic("plan") }}
	r := &recorder{}
	in := NewInbox()
	th := newThinker(model.New(model.Settings{Node: "n1"}), in, []stage{broken, r.stage("service", model.KindService)})
	th.synced = func() bool { return true }
	in.Put(newService("a"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- th.Run(ctx) }()
	<-th.started
	in.Put(newService("b"))
	for planned := ""; planned != "[default/a default/b]"; time.Sleep(time.Millisecond) {
		if err := th.query(ctx, func(*model.Model) { planned = strings.Join(r.planned, " "); planned = "[" + planned + "]" }); err != nil || t.Context().Err() != nil {
			t.Fatalf("planned %s: %v", planned, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAListIsMadeOnceATurn: a pod's lists are made once however many of its policies change, and never lead to what isn't claimed.
func TestAListIsMadeOnceATurn(t *testing.T) {
	th := loadThinker()
	for _, o := range loadPods(20)(0) {
		th.model.Put(o)
	}
	th.planAll()
	for _, o := range loadPolicies(300, podPeer) {
		th.inbox.Put(o)
	}
	turns := 0
	for more := true; more || !th.due().IsZero(); turns++ {
		more = th.once()
		standing(t, th)
	}
	if turns > 200 {
		t.Errorf("300 policies took %d turns", turns)
	}
}

// standing fails when an element's set or a jump's chain is claimed by nobody.
func standing(t *testing.T, th loaded) {
	t.Helper()
	all := map[row.NftKey]row.Nft{}
	for k, r := range th.nft.All {
		all[k] = r
	}
	for _, r := range all {
		e, ok := r.(row.NftElement)
		if !ok {
			continue
		}
		if all[e.Of.Value().Key()] == nil {
			t.Fatalf("%s: nobody claims the set", e)
		}
		if e.Verdict.Chain != "" && all[row.NftChain{Name: e.Verdict.Chain}.Key()] == nil {
			t.Fatalf("%s: nobody claims the chain", e)
		}
	}
}

// TestNamespacesTakeTurns: a namespace that touches thousands doesn't stand before one that touches one.
func TestNamespacesTakeTurns(t *testing.T) {
	q := &queue{}
	for i := range 1000 {
		q.add(model.Ref{Kind: model.KindPod, Name: model.Name{Namespace: "storm", Name: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()}})
	}
	q.add(model.Ref{Kind: model.KindPod, Name: model.Name{Namespace: "calm", Name: "a"}})
	for i := range 1001 {
		u, ok := q.next()
		if !ok {
			t.Fatalf("%d units are missing", 1001-i)
		}
		if u.Name.Namespace == "calm" && i > 1 {
			t.Errorf("it came as number %d", i)
		}
	}
	if u, ok := q.next(); ok {
		t.Errorf("%s came twice", u)
	}
}
