package stage

import (
	"kube-router/internal/model"
	"kube-router/internal/think"
)

// thinking is a thinker without a goroutine of its own, with its model and with how many units each stage planned.
type thinking struct {
	*think.Thinker
	model   *model.Model
	inbox   *think.Inbox
	planned map[think.ID]int
}

func newThinking(m *model.Model, hooks think.Hooks, stages ...think.Stage) thinking {
	t := thinking{model: m, inbox: think.NewInbox(), planned: map[think.ID]int{}}
	for i, s := range stages {
		stages[i].Plan = func(m *model.Model, u model.Ref) []model.Remark {
			t.planned[s.ID]++
			return s.Plan(m, u)
		}
	}
	t.Thinker = think.New(m, t.inbox, stages, hooks)
	return t
}

// put reports objects together and thinks until nothing waits.
func (t thinking) put(objects ...model.Object) {
	for _, o := range objects {
		t.inbox.Put(o)
	}
	t.drain()
}

func (t thinking) drain() {
	for more := true; more || !t.Due().IsZero(); {
		more = t.Once()
	}
}

// settled is the hook that carries Services on to rows.
func (s *Services) settled(*model.Model) {
	s.settle(func(_ think.ID, _ model.Ref, f func()) { f() })
}

func newService(name string) *model.Service {
	return &model.Service{Name: model.Name{Namespace: "default", Name: name}}
}

func newSlice(name, of string) *model.Slice {
	s := &model.Slice{Name: model.Name{Namespace: "default", Name: name}}
	s.Service = model.Name{Namespace: "default", Name: of}
	return s
}
