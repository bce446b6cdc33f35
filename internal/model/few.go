package model

import "iter"

// few are the values of an index under one key, mostly one: it costs no more memory than itself then. Its order means nothing.
type few[V comparable] struct {
	one  V // the zero value: none
	more *[]V
}

// all iterates over the values with what names each.
func all[K any, V comparable](f few[V], name func(V) K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if f.one == *new(V) || !yield(name(f.one), f.one) || f.more == nil {
			return
		}
		for _, v := range *f.more {
			if !yield(name(v), v) {
				return
			}
		}
	}
}

// enter adds a value under a key, once.
func enter[K, V comparable](m map[K]few[V], k K, v V) {
	f := m[k]
	switch {
	case f.one == v:
		return
	case f.one == *new(V):
		f.one = v
	case f.more == nil:
		f.more = &[]V{v}
	default:
		for _, o := range *f.more {
			if o == v {
				return
			}
		}
		*f.more = append(*f.more, v)
		return
	}
	m[k] = f
}

// leave takes a value away from a key.
func leave[K, V comparable](m map[K]few[V], k K, v V) {
	f, ok := m[k]
	if !ok {
		return
	}
	switch {
	case f.one == v && f.more == nil:
		delete(m, k)
		return
	case f.one == v:
		f.one = f.pop()
	case f.more != nil:
		for i, o := range *f.more {
			if o == v {
				last := f.pop()
				if f.more != nil && i < len(*f.more) {
					(*f.more)[i] = last
				}
				break
			}
		}
	}
	m[k] = f
}

// pop takes the last of the further values. A list that has become much too long is made anew.
func (f *few[V]) pop() V {
	list := *f.more
	last := list[len(list)-1]
	switch list = list[:len(list)-1]; {
	case len(list) == 0:
		f.more = nil
	case cap(list) > 16 && len(list) < cap(list)/4:
		list = append(make([]V, 0, 2*len(list)), list...)
		f.more = &list
	default:
		clear(list[len(list) : len(list)+1])
		*f.more = list
	}
	return last
}
