package think

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
)

// TestAPanicOfAStageKeepsTheOthers: where even the finding of units panics, the other stages of the same turn are planned, from the
// first picture on.
func TestAPanicOfAStageKeepsTheOthers(t *testing.T) {
	broken := Stage{ID: "broken", Units: func(*model.Model) []model.Ref { panic("units") }, Note: func(Change, func(model.Ref)) { panic("note") },
		Plan: func(*model.Model, model.Ref) []model.Remark { panic("plan") }}
	r := &recorder{}
	in := NewInbox()
	th := New(model.New(model.Settings{Node: "n1"}), in, []Stage{broken, r.stage(Services, model.KindService)}, Hooks{})
	in.Put(newService("a"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- th.Run(ctx) }()
	<-th.started
	in.Put(newService("b"))
	for planned := ""; planned != "[default/a default/b]"; time.Sleep(time.Millisecond) {
		if err := th.Query(ctx, func(*model.Model) { planned = strings.Join(r.planned, " "); planned = "[" + planned + "]" }); err != nil || t.Context().Err() != nil {
			t.Fatalf("planned %s: %v", planned, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
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
