package kube

import (
	"hash/maphash"
	"maps"
	"slices"

	"kube-router/internal/model"
)

// shared are texts, ports and sets of labels that came of late, so that objects which have the same hold one: the pods of a Deployment come one
// after the other and differ in nothing but their names. What is forgotten is held twice, no more. One goroutine uses it.
type shared struct {
	seed  maphash.Seed
	texts [2048]string
	sets  [1024]map[string]string
	ports [256][]model.PodPort
}

func newShared() *shared { return &shared{seed: maphash.MakeSeed()} }

// text makes a text one that is held already.
func (s *shared) text(t *string) {
	if *t == "" {
		return
	}
	at := &s.texts[maphash.String(s.seed, *t)%uint64(len(s.texts))]
	if *at != *t {
		*at = *t
	}
	*t = *at
}

// set makes labels those that are held already. Nobody changes labels of the model.
func (s *shared) set(m *map[string]string) {
	if len(*m) == 0 {
		return
	}
	var sum uint64
	for k, v := range *m {
		sum += maphash.String(s.seed, k) * (maphash.String(s.seed, v) | 1)
	}
	at := &s.sets[sum%uint64(len(s.sets))]
	if !maps.Equal(*at, *m) {
		*at = *m
	}
	*m = *at
}

// named makes a pod's ports those that are held already. Nobody changes them.
func (s *shared) named(list *[]model.PodPort) {
	if len(*list) == 0 {
		return
	}
	at := &s.ports[maphash.Comparable(s.seed, (*list)[0])%uint64(len(s.ports))]
	if !slices.Equal(*at, *list) {
		*at = slices.Clip(slices.Clone(*list))
	}
	*list = *at
}

// share lets an object that was just made hold what others hold, where there are tens of thousands of its kind.
func (s *shared) share(o model.Object) {
	switch o := o.(type) {
	case *model.Pod:
		s.text(&o.Name.Namespace)
		s.text(&o.Node)
		s.set(&o.Labels)
		s.named(&o.Ports)
	case *model.Slice:
		s.text(&o.Name.Namespace)
		s.text(&o.Service.Namespace)
		for i := range o.Ports {
			s.text(&o.Ports[i].Name)
		}
		for i := range o.Endpoints {
			e := &o.Endpoints[i]
			s.text(&e.Node)
			s.text(&e.Zone)
			s.text(&e.Pod.Namespace)
			zones, _ := e.For()
			for j := range zones {
				s.text(&zones[j])
			}
		}
	case *model.Service:
		s.text(&o.Name.Namespace)
		s.set(&o.Labels)
		s.set(&o.Selector) // mostly the labels of the Service as well
		for i := range o.Ports {
			s.text(&o.Ports[i].Name)
		}
	}
}
