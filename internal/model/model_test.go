package model

import (
	"iter"
	"testing"
)

func count(list iter.Seq2[Name, *Slice]) (n int) {
	for range list {
		n++
	}
	return n
}

func TestSlicesToFollowEndpoints(t *testing.T) {
	m, pod := New(Settings{}), Name{"default", "web-0"}
	slice := func(name string, pods ...Name) *Slice {
		s := &Slice{Name: Name{"default", name}}
		for _, p := range pods {
			s.Endpoints = append(s.Endpoints, Endpoint{Pod: p})
		}
		return s
	}
	m.Put(slice("a", pod, Name{}))
	m.Put(slice("b", pod))
	if n := count(m.SlicesTo(pod)); n != 2 {
		t.Errorf("%d slices, want 2", n)
	}
	if n := count(m.SlicesTo(Name{})); n != 0 {
		t.Errorf("%d slices to no pod", n)
	}
	m.Put(slice("a"))
	m.Delete(slice("b").Ref())
	if n := count(m.SlicesTo(pod)); n != 0 || len(m.slicesTo) != 0 {
		t.Errorf("%d slices remain", n)
	}
}
