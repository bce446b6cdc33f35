package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// stackSize is how deep jumps may nest (NFT_JUMP_STACK_SIZE).
const stackSize = 16

// node is a chain or a verdict map.
type node struct {
	set  bool
	name string
}

// graph is where packets may go from where: from chains by jumps to chains and by look-ups to verdict maps,
// from there to chains. Edges are counted, because several rules may make the same one.
type graph struct {
	out, in map[node]map[node]int
	used    map[string]int // sets, by the rules that name them
}

func newGraph() graph {
	return graph{out: map[node]map[node]int{}, in: map[node]map[node]int{}, used: map[string]int{}}
}

func (g graph) count(from, to node, n int) {
	for _, e := range [...]struct {
		edges    map[node]map[node]int
		from, to node
	}{{g.out, from, to}, {g.in, to, from}} {
		if e.edges[e.from] == nil {
			e.edges[e.from] = map[node]int{}
		}
		if e.edges[e.from][e.to] += n; e.edges[e.from][e.to] == 0 {
			delete(e.edges[e.from], e.to)
		}
	}
}

// rule counts (or with -1 uncounts) what a rule refers to.
func (g graph) rule(chain string, body row.NftBody, n int) {
	for _, s := range body.Stmts() {
		for _, set := range [...]string{s.Set, s.Via} {
			if set != "" {
				g.used[set] += n
			}
		}
		if s.Op == row.NftVmap {
			g.count(node{name: chain}, node{set: true, name: s.Set}, n)
		}
		if s.Chain != "" {
			g.count(node{name: chain}, node{name: s.Chain}, n)
		}
	}
}

// element counts where an element leads.
func (g graph) element(e row.NftElement, n int) {
	if e.Verdict.Chain != "" {
		g.count(node{set: true, name: e.Of.Value().Name}, node{name: e.Verdict.Chain}, n)
	}
}

// longest is the number of chains on the longest way from n along the edges; a way that comes back to
// itself is longer than any.
func (g graph) longest(edges map[node]map[node]int, n node, limit int) int {
	if limit <= 0 {
		return stackSize
	}
	deepest := 0
	for next := range edges[n] {
		deepest = max(deepest, g.longest(edges, next, limit-1))
	}
	if n.set {
		return deepest
	}
	return deepest + 1
}

// checkEdge refuses an edge that makes a way too long. Sets are on the way too, so twice the steps count.
func (g graph) checkEdge(from, to node) error {
	before := g.longest(g.in, from, 2*stackSize)
	behind := g.longest(g.out, to, 2*stackSize)
	if before+behind > stackSize {
		return fmt.Errorf("jumps nested deeper than %d: %w", stackSize, unix.EMLINK)
	}
	return nil
}

// reach calls f for every chain on the ways from n, n included.
func (g graph) reach(edges map[node]map[node]int, n node, f func(chain string)) {
	seen := map[node]bool{}
	var walk func(node)
	walk = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if !n.set {
			f(n.name)
		}
		for next := range edges[n] {
			walk(next)
		}
	}
	walk(n)
}
