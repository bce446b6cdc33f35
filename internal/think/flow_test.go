package think

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kube-router/internal/model"
)

func TestAPodTouchesItsServicesWhereItsSlicesDontTellAll(t *testing.T) {
	name := model.Name{Namespace: "default", Name: "web-0"}
	pod := func(grace time.Duration) *model.Pod { return &model.Pod{Name: name, Grace: grace} }
	slice := newSlice("web-x", "web")
	slice.Endpoints = []model.Endpoint{{Pod: name}}
	for _, c := range []struct {
		engine   model.Engine
		old, new model.Object
		want     string
	}{
		{model.EngineIPVS, nil, pod(time.Minute), "[Service default/web]"},
		{model.EngineIPVS, pod(time.Minute), pod(time.Hour), "[Service default/web]"},
		{model.EngineIPVS, pod(time.Minute), pod(time.Minute), "[]"},
		{model.EngineIPVS, pod(time.Minute), nil, "[Service default/web]"},
		{model.EngineNftables, nil, pod(time.Minute), "[]"},
	} {
		m := model.New(model.Settings{Services: model.ServiceSettings{Engine: c.engine}})
		m.Put(slice)
		var touched []model.Ref
		podServices(m, Change{Ref: pod(0).Ref(), Old: c.old, New: c.new}, func(u model.Ref) {
			if !slices.Contains(touched, u) {
				touched = append(touched, u)
			}
		})
		if got := fmt.Sprint(touched); got != c.want {
			t.Errorf("%s, %v to %v: touched %s, want %s", c.engine, c.old, c.new, got, c.want)
		}
	}
}
