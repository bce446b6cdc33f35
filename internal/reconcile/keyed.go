package reconcile

import (
	"hash/maphash"
	"iter"
	"maps"
)

// keyed are values by a key that they know themselves. Beside a value it holds eight bytes, not the key as well, which for a row of
// nftables is six times as much; there are a hundred thousand of them.
type keyed[K comparable, V any] struct {
	key  func(V) K
	hash func(K) uint64
	at   map[uint64]V
	rest map[K]V // those whose place another has
	most int     // that there were since at was made: a map never shrinks
}

func newKeyed[K comparable, V any](key func(V) K) *keyed[K, V] {
	seed := maphash.MakeSeed()
	return &keyed[K, V]{key: key, hash: func(k K) uint64 { return maphash.Comparable(seed, k) }, at: map[uint64]V{}, rest: map[K]V{}}
}

// get is the value of a key. A nil one holds nothing.
func (t *keyed[K, V]) get(k K) (V, bool) {
	if t == nil {
		var none V
		return none, false
	}
	if v, ok := t.at[t.hash(k)]; ok && t.key(v) == k {
		return v, true
	}
	if len(t.rest) == 0 {
		var none V
		return none, false
	}
	v, ok := t.rest[k]
	return v, ok
}

// put sets the value of a key, which must be the value's own.
func (t *keyed[K, V]) put(k K, v V) {
	h := t.hash(k)
	if other, taken := t.at[h]; taken && t.key(other) != k {
		t.rest[k] = v
		return
	}
	delete(t.rest, k)
	t.at[h] = v
	t.most = max(t.most, len(t.at))
}

// drop removes a key.
func (t *keyed[K, V]) drop(k K) {
	delete(t.rest, k)
	h := t.hash(k)
	if v, ok := t.at[h]; !ok || t.key(v) != k {
		return
	}
	delete(t.at, h)
	if t.most > 1024 && len(t.at) < t.most/4 {
		t.at, t.most = maps.Collect(maps.All(t.at)), len(t.at)
	}
}

// len is the number of keys.
func (t *keyed[K, V]) len() int {
	if t == nil {
		return 0
	}
	return len(t.at) + len(t.rest)
}

// all iterates over keys and values, in no order.
func (t *keyed[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t == nil {
			return
		}
		for _, v := range t.at {
			if !yield(t.key(v), v) {
				return
			}
		}
		for k, v := range t.rest {
			if !yield(k, v) {
				return
			}
		}
	}
}
