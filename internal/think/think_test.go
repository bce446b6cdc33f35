package think

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"kube-router/internal/model"
)

// recorder is a stage that writes down which units it was asked to plan.
type recorder struct{ planned []string }

func (r *recorder) stage(name ID, k model.Kind) Stage {
	return Stage{
		ID:    name,
		Units: func(m *model.Model) []model.Ref { return m.Refs(k) },
		Plan: func(_ *model.Model, u model.Ref) []model.Remark {
			r.planned = append(r.planned, u.Name.String())
			return nil
		},
	}
}

// take gives what was planned since the last time, sorted.
func (r *recorder) take() string {
	list := slices.Sorted(slices.Values(r.planned))
	r.planned = nil
	return fmt.Sprint(list)
}

func newService(name string) *model.Service {
	return &model.Service{Name: model.Name{Namespace: "default", Name: name}}
}

func newSlice(name, of string) *model.Slice {
	s := &model.Slice{Name: model.Name{Namespace: "default", Name: name}}
	s.Service = model.Name{Namespace: "default", Name: of}
	return s
}

// think starts a Thinker with one recording stage of Services in a synctest bubble.
func think(t *testing.T, f func(in *Inbox, whole *bool, r *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		in, r, whole := NewInbox(), &recorder{}, false
		th := New(model.New(model.Settings{Node: "n1"}), in, []Stage{r.stage(Services, model.KindService)}, Hooks{
			Synced: func(*model.Model) bool { return whole },
		})
		done := make(chan struct{})
		go func() { defer close(done); th.Run(ctx) }()
		f(in, &whole, r)
		cancel()
		<-done
	})
}

func TestNothingIsPlannedBeforeTheFirstWholePicture(t *testing.T) {
	think(t, func(in *Inbox, whole *bool, r *recorder) {
		in.Replace(model.KindService, []model.Object{newService("a"), newService("b")})
		synctest.Wait()
		if got := r.take(); got != "[]" {
			t.Errorf("planned %s", got)
		}
		*whole = true
		in.Nudge()
		synctest.Wait()
		if got := r.take(); got != "[default/a default/b]" {
			t.Errorf("planned %s", got)
		}
	})
}

func TestAChangePlansWhatItTouches(t *testing.T) {
	think(t, func(in *Inbox, whole *bool, r *recorder) {
		*whole = true
		in.Replace(model.KindService, []model.Object{newService("a"), newService("b"), newService("c")})
		synctest.Wait()
		r.take()
		for _, c := range []struct {
			what string
			do   func()
			want string
		}{
			{"a slice", func() { in.Put(newSlice("a-1", "a")) }, "[default/a]"},
			{"the same slice again", func() { in.Put(newSlice("a-1", "a")) }, "[]"},
			{"a slice that moves", func() { in.Put(newSlice("a-1", "b")) }, "[default/a default/b]"},
			{"a slice that goes", func() { in.Delete(newSlice("a-1", "").Ref()) }, "[default/b]"},
			{"a Service that goes", func() { in.Delete(newService("c").Ref()) }, "[default/c]"},
			{"another node", func() { in.Put(&model.Node{Name: "n2"}) }, "[]"},
			{"our node", func() { in.Put(&model.Node{Name: "n1"}) }, "[default/a default/b]"},
			{"our node, while a Service goes", func() {
				in.Replace(model.KindNode, []model.Object{&model.Node{Name: "n1", Zone: "a"}})
				in.Delete(newService("b").Ref())
			}, "[default/a default/b]"},
			{"that Service again", func() { in.Put(newService("b")) }, "[default/b]"},
			{"a list without b", func() { in.Replace(model.KindService, []model.Object{newService("a")}) }, "[default/b]"},
		} {
			c.do()
			synctest.Wait()
			if got := r.take(); got != c.want {
				t.Errorf("%s: planned %s, want %s", c.what, got, c.want)
			}
		}
	})
}

func TestInboxKeepsTheLatest(t *testing.T) {
	in, m := NewInbox(), model.New(model.Settings{})
	m.Put(newService("old"))
	in.Put(newService("early"))
	in.Replace(model.KindService, []model.Object{newService("listed")})
	in.Put(newService("late"))
	in.Put(newService("gone"))
	in.Delete(newService("gone").Ref())
	news := in.collect()
	news.apply(m, never)
	got := slices.SortedFunc(maps.Keys(m.Services), model.Name.Compare)
	if fmt.Sprint(got) != "[default/late default/listed]" {
		t.Errorf("the model holds %v", got)
	}
}
