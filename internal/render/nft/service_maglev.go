package nft

import (
	"hash/fnv"

	"kube-router/internal/intent"
)

// maglevSize is the number of slots for n backends: a prime, about a hundred times as many so that shares
// differ little, and the same for wide ranges of n so that a change of one backend leaves the others' slots.
func maglevSize(n int) int {
	switch {
	case n <= 20:
		return 1021
	case n <= 320:
		return 16381
	}
	return 65521
}

// maglev fills size slots with backends (Eisenbud et al., "Maglev", NSDI 2016, 3.4). Each backend goes
// through the slots in an order of its own and in turn takes the next that is free. The result depends on
// the backends alone, so every node fills alike, and a backend that goes moves few slots but its own.
func maglev(backends []intent.Backend, size int) []intent.Backend {
	if len(backends) == 0 {
		return nil
	}
	type walk struct{ at, skip uint64 }
	m := uint64(size)
	walks := make([]walk, len(backends))
	for i, b := range backends {
		h := maglevHash(b)
		walks[i] = walk{at: h % m, skip: (h>>32)%(m-1) + 1}
	}
	slots, taken := make([]intent.Backend, size), make([]bool, size)
	for filled := 0; ; {
		for i := range walks {
			w := &walks[i]
			for taken[w.at] {
				w.at = (w.at + w.skip) % m
			}
			taken[w.at], slots[w.at] = true, backends[i]
			if filled++; filled == size {
				return slots
			}
		}
	}
}

// maglevHash spreads a backend over 64 bits. FNV alone leaves its upper half alike for addresses that differ
// in their last byte, so the result is mixed (the finalizer of MurmurHash3).
func maglevHash(b intent.Backend) uint64 {
	h := fnv.New64a()
	h.Write(backendWire(nil, b))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
