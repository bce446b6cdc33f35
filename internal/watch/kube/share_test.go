package kube

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"kube-router/internal/model"
)

// Objects that are told apart stay apart, and those that have something in common hold it once.
func TestShared(t *testing.T) {
	s := newShared()
	pod := func(i int, app string) *model.Pod {
		p := &model.Pod{Name: model.Name{Namespace: "team-" + app, Name: fmt.Sprint("p", i)}, Node: fmt.Sprint("n", i%2), Labels: map[string]string{"app": app, "hash": "x"}}
		s.share(p)
		return p
	}
	a, b, c := pod(0, "a"), pod(2, strings.Clone("a")), pod(1, "b")
	if reflect.ValueOf(a.Labels).Pointer() != reflect.ValueOf(b.Labels).Pointer() || unsafe.StringData(a.Node) != unsafe.StringData(b.Node) {
		t.Error("what is equal is held twice")
	}
	if c.Labels["app"] != "b" || c.Node != "n1" || c.Name.Namespace != "team-b" || a.Labels["app"] != "a" {
		t.Errorf("%+v %+v", a, c)
	}
	// More than there is room for: all stay what they were.
	for i := range 20_000 {
		app := fmt.Sprint(i % 5000)
		if p := pod(i, app); !maps.Equal(p.Labels, map[string]string{"app": app, "hash": "x"}) || p.Name.Namespace != "team-"+app {
			t.Fatalf("%d: %+v", i, p)
		}
	}
	// Keys and values that trade places are no equals.
	x, y := &model.Pod{Labels: map[string]string{"a": "b", "c": "d"}}, &model.Pod{Labels: map[string]string{"a": "d", "c": "b"}}
	s.share(x)
	s.share(y)
	if x.Labels["a"] != "b" || y.Labels["a"] != "d" {
		t.Errorf("%v %v", x.Labels, y.Labels)
	}
}
