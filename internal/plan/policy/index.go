package policy

import "kube-router/internal/model"

// place is where a selection looks for namespaces: in one by name, or by an anchor of its labels.
type place struct {
	scope string
	named bool // scope counts, not label
	label anchor
}

// index finds the selections that may have a pod, by its namespace, the namespace's labels and its own. The
// cost is that of the labels, however many selections there are.
type index[T comparable] struct {
	at map[place]map[anchor]map[T]struct{}
}

func newIndex[T comparable]() *index[T] {
	return &index[T]{at: map[place]map[anchor]map[T]struct{}{}}
}

// keys visits every place and anchor that a selection stands under.
func (s selection) keys(f func(place, anchor)) {
	var places []place
	if s.namespaces == nil {
		places = []place{{scope: s.scope, named: true}}
	} else {
		for _, a := range anchors(s.namespaces) {
			places = append(places, place{label: a})
		}
	}
	for _, p := range places {
		for _, a := range anchors(s.pods) {
			f(p, a)
		}
	}
}

func (x *index[T]) add(s selection, t T) {
	s.keys(func(p place, a anchor) {
		if x.at[p] == nil {
			x.at[p] = map[anchor]map[T]struct{}{}
		}
		if x.at[p][a] == nil {
			x.at[p][a] = map[T]struct{}{}
		}
		x.at[p][a][t] = struct{}{}
	})
}

func (x *index[T]) remove(s selection, t T) {
	s.keys(func(p place, a anchor) {
		delete(x.at[p][a], t)
		if len(x.at[p][a]) == 0 {
			delete(x.at[p], a)
		}
		if len(x.at[p]) == 0 {
			delete(x.at, p)
		}
	})
}

// candidates calls f with every T whose selection may have the pod; with some more than once.
func (x *index[T]) candidates(namespace string, ns *model.Namespace, labels map[string]string, f func(T)) {
	look := func(p place) {
		under := x.at[p]
		if len(under) == 0 {
			return
		}
		each(labels, func(a anchor) {
			for t := range under[a] {
				f(t)
			}
		})
	}
	look(place{scope: namespace, named: true})
	if ns != nil {
		each(ns.Labels, func(a anchor) { look(place{label: a}) })
	}
}
