package service

import (
	"slices"

	"kube-router/internal/intent"
)

// place is where this node stands.
type place struct{ node, zone string }

// candidate is an endpoint of one port and family with what the API says about it.
type candidate struct {
	intent.Backend
	ready, serving, terminating bool
	zones, nodes                []string // topology hints
}

// choice is who of the candidates answers.
type choice struct {
	cluster []candidate // under traffic policy Cluster
	local   []candidate // under traffic policy Local
	serving []candidate // everyone whose flows may live on
}

// choose decides which endpoints answer on this node. Ready ones do; only where none is ready, those that
// terminate but still serve (KEP-1669), which never obey topology: they are the last resort. Policy Local
// takes the endpoints of this node alone and applies the same fallback among them, without topology
// (KEP-2086). The list that the API calls "not ready, not serving" never answers.
func choose(all []candidate, at place) choice {
	var c choice
	if ready := only(all, candidate.isReady); len(ready) > 0 {
		c.cluster = near(ready, at)
	} else {
		c.cluster = only(all, candidate.lastResort)
	}
	local := only(all, candidate.isLocal)
	if c.local = only(local, candidate.isReady); len(c.local) == 0 {
		c.local = only(local, candidate.lastResort)
	}
	c.serving = only(all, candidate.isServing)
	return c
}

// near applies topology hints: those for this node first (KEP-3015), then those for its zone (KEP-4444,
// KEP-2433). Hints count only if every ready endpoint has some of the kind and one of them names us, for
// else the API server's picture and ours differ; then all endpoints are used.
func near(ready []candidate, at place) []candidate {
	if list, ok := hinted(ready, at.node, func(c candidate) []string { return c.nodes }); ok {
		return list
	}
	if list, ok := hinted(ready, at.zone, func(c candidate) []string { return c.zones }); ok {
		return list
	}
	return ready
}

func hinted(ready []candidate, here string, hints func(candidate) []string) ([]candidate, bool) {
	if here == "" || slices.ContainsFunc(ready, func(c candidate) bool { return len(hints(c)) == 0 }) {
		return nil, false
	}
	list := only(ready, func(c candidate) bool { return slices.Contains(hints(c), here) })
	return list, len(list) > 0
}

func (c candidate) isReady() bool    { return c.ready }
func (c candidate) isLocal() bool    { return c.Local }
func (c candidate) isServing() bool  { return c.ready || c.serving }
func (c candidate) lastResort() bool { return c.serving && c.terminating }

func only(list []candidate, keep func(candidate) bool) []candidate {
	n := 0
	for i := range list {
		if keep(list[i]) {
			n++
		}
	}
	if n == len(list) {
		return list // nobody changes a list
	}
	if n == 0 {
		return nil
	}
	out := make([]candidate, 0, n)
	for i := range list {
		if keep(list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

// backends are the candidates as an intent names them.
func backends(list []candidate) []intent.Backend {
	if len(list) == 0 {
		return nil
	}
	out := make([]intent.Backend, len(list))
	for i := range list {
		out[i] = list[i].Backend
	}
	return out
}

// except are the candidates of list that are in none of the others. All are sorted.
func except(list []candidate, others ...[]candidate) []candidate {
	return only(list, func(c candidate) bool {
		for _, o := range others {
			if _, in := slices.BinarySearchFunc(o, c, func(d, c candidate) int { return d.Compare(c.Backend) }); in {
				return false
			}
		}
		return true
	})
}
