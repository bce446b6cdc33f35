package nft

import (
	"cmp"
	"slices"

	"kube-router/internal/intent"
)

// mostShares bounds the slots of backends with weights: ratios up to one in 256 are kept.
const mostShares = 256

// spread lists backends as often as their weights ask for, those of one evenly among the others. fo takes the one
// backend with the highest weight, the first of several. Without weights it is the backends as they are.
func spread(s intent.Scheduler, backends []intent.Backend) []intent.Backend {
	if s == "fo" && len(backends) > 0 {
		return []intent.Backend{slices.MaxFunc(backends, func(a, b intent.Backend) int { return cmp.Compare(max(a.Weight, 1), max(b.Weight, 1)) })}
	}
	if !slices.ContainsFunc(backends, func(b intent.Backend) bool { return b.Weight > 0 }) {
		return backends
	}
	type place struct {
		at float64
		of int
	}
	var places []place
	for i, n := range intent.Shares(backends, max(mostShares, 4*len(backends))) {
		for j := range n {
			places = append(places, place{(float64(j) + 0.5) / float64(n), i})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.of, b.of)) })
	list := make([]intent.Backend, len(places))
	for i, p := range places {
		list[i] = backends[p.of]
	}
	return list
}
