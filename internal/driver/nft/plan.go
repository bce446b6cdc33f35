package nft

import (
	"cmp"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// edit is one change on its way into the kernel.
type edit struct {
	key      row.NftKey
	old, new row.Nft // old is what has to go first; nil: nothing
	left     int     // messages and transactions that it still takes part in, in this round
	again    bool    // it was there already, in another form, and is replaced now
	alone    bool    // the kernel refused it or one that shared its message, and told not which
	state    state
	err      error
	data     ruleData
}

type state uint8

const (
	pending state = iota
	done
	failed
)

func (e *edit) fail(err error) {
	if e.state == pending {
		e.state, e.err = failed, err
	}
}

// op is a part of the plan that must be in one transaction. nil: what follows must not be in the same
// transaction as what came before.
type op func(b *batch)

// plan sorts edits into the order in which the kernel takes them, in one transaction or in many: what
// others refer to comes before them and goes after them, and packets meet base chains last.
type plan struct {
	sets, setsAgain, setsGone       []*edit
	chains, chainsAgain, chainsGone []*edit // chains that are only jumped to come first
	rules                           map[string][]*edit
	elements                        map[string][]*edit
	have                            map[string][]rule // of chains whose rules change
	rewrite                         map[string]bool   // chains to be emptied and filled again
	base                            map[string]bool
	fresh                           map[string]bool     // chains that are made now: nothing leads there yet
	gone                            map[row.NftKey]bool // sets and chains that go or are made again
}

func newPlan(edits []*edit) *plan {
	p := &plan{
		rules: map[string][]*edit{}, elements: map[string][]*edit{}, have: map[string][]rule{},
		rewrite: map[string]bool{}, base: map[string]bool{}, fresh: map[string]bool{}, gone: map[row.NftKey]bool{},
	}
	for _, e := range edits {
		e.left = 0
		p.add(e)
	}
	return p
}

func (p *plan) add(e *edit) {
	switch e.key.Kind {
	case row.NftKindSet:
		p.addTo(e, &p.sets, &p.setsAgain, &p.setsGone)
	case row.NftKindChain:
		if c, ok := e.new.(row.NftChain); ok && c.Hook != row.NftNoHook {
			p.base[c.Name] = true
		} else if c, ok := e.old.(row.NftChain); ok && c.Hook != row.NftNoHook {
			p.base[c.Name] = true
		}
		p.fresh[e.key.Name] = e.old == nil && !p.base[e.key.Name]
		p.addTo(e, &p.chains, &p.chainsAgain, &p.chainsGone)
	case row.NftKindRule:
		p.rules[e.key.Name] = append(p.rules[e.key.Name], e)
	case row.NftKindElement:
		p.elements[e.key.Name] = append(p.elements[e.key.Name], e)
	}
}

func (p *plan) addTo(e *edit, made, again, gone *[]*edit) {
	switch {
	case e.new == nil:
		*gone = append(*gone, e)
	case e.old == nil || inPlace(e.old, e.new):
		*made = append(*made, e)
		return
	default:
		*again = append(*again, e)
	}
	p.gone[e.key] = true
}

// inPlace tells whether the kernel can turn one into the other: only a chain's policy can change.
func inPlace(old, new row.Nft) bool {
	if a, ok := old.(row.NftChain); ok {
		b := new.(row.NftChain)
		a.Drop = b.Drop
		return a == b
	}
	return old == new
}

// chainsToRead are the chains whose rules must be known; all: every chain, because some set is made again
// and nobody knows which rules use it.
func (p *plan) chainsToRead() (names []string, all bool) {
	for name := range p.rules {
		if !p.gone[row.NftChain{Name: name}.Key()] {
			names = append(names, name)
		}
	}
	return names, len(p.setsAgain)+len(p.chainsAgain) > 0
}

// know takes the rules of a chain. Those that use what is made again have to be taken out and put back.
func (p *plan) know(chain string, rules []rule) {
	p.have[chain] = rules
	for _, r := range rules {
		for _, s := range r.body.Stmts() {
			if p.isAgain(s.Set) || p.isAgain(s.Via) {
				p.rewrite[chain] = true
			}
		}
	}
	for _, e := range p.chainsAgain {
		if e.key.Name == chain {
			p.rewrite[chain] = true
		}
	}
}

func (p *plan) isAgain(set string) bool {
	return set != "" && slices.ContainsFunc(p.setsAgain, func(e *edit) bool { return e.key.Name == set })
}

// ops is the plan in order.
//
// A chain and what leads there never come in one transaction, nor go in one. A packet takes the generation
// of rules that it met first to its end (nft_do_chain), but looks sets up in the present one: it would find
// the new element of a verdict map and follow it into a chain that has no rules in its generation yet.
func (p *plan) ops() (ops []op) {
	made := len(p.sets) + len(p.chains)
	switch {
	case len(p.setsAgain)+len(p.chainsAgain) > 0:
		ops = append(ops, p.makeAgain)
	case made > 0:
		ops = append(ops, func(b *batch) { b.newTable() })
		ops = each(ops, p.sets, (*batch).newSet)
		ops = each(ops, p.pick(p.chains, false), (*batch).newChain)
	}
	if made := p.ruleOps(nil, p.isFresh); len(made) > 0 {
		ops = append(append(ops, made...), nil)
	}
	ops = p.ruleOps(ops, p.isInner)
	ops = p.elementOps(ops)
	if len(p.setsAgain)+len(p.chainsAgain) == 0 {
		ops = each(ops, p.pick(p.chains, true), (*batch).newChain)
	}
	ops = p.ruleOps(ops, func(chain string) bool { return p.base[chain] })
	return p.removals(ops)
}

func (p *plan) isFresh(chain string) bool { return p.fresh[chain] }
func (p *plan) isInner(chain string) bool { return !p.fresh[chain] && !p.base[chain] }

func each(ops []op, edits []*edit, f func(*batch, *edit)) []op {
	for _, e := range edits {
		ops = append(ops, func(b *batch) { f(b, e) })
	}
	return ops
}

// pick gives the base chains or the others.
func (p *plan) pick(chains []*edit, base bool) (picked []*edit) {
	for _, e := range chains {
		if p.base[e.key.Name] == base {
			picked = append(picked, e)
		}
	}
	return picked
}

// makeAgain replaces sets and chains in one go: their users let go of them and get them back.
func (p *plan) makeAgain(b *batch) {
	b.newTable()
	for _, name := range slices.Sorted(maps.Keys(p.rewrite)) {
		b.flush(name, nil)
	}
	for _, e := range p.setsAgain {
		p.removeSet(b, e)
	}
	for _, e := range p.chainsAgain {
		b.remove(unix.NFT_MSG_DELCHAIN, e)
	}
	for _, e := range slices.Concat(p.sets, p.setsAgain) {
		b.newSet(e)
	}
	for _, e := range slices.Concat(p.chains, p.chainsAgain) {
		b.newChain(e)
	}
	for _, name := range slices.Sorted(maps.Keys(p.rewrite)) {
		p.rewriteRules(b, name)
	}
}

func (p *plan) ruleOps(ops []op, which func(chain string) bool) []op {
	for _, name := range slices.Sorted(maps.Keys(p.rules)) {
		if which(name) && !p.rewrite[name] && !p.chainGoes(name) {
			ops = append(ops, func(b *batch) { p.changeRules(b, name) })
		}
	}
	return ops
}

// chainGoes tells whether a chain goes for good, and its rules with it.
func (p *plan) chainGoes(name string) bool {
	return slices.ContainsFunc(p.chainsGone, func(e *edit) bool { return e.key.Name == name })
}

// elementOps makes and replaces elements, those of verdict maps last: where they lead, all must be there.
// In a set of ranges the new may overlap with the old, so all of the old go first; elsewhere what only goes
// is left for the end.
func (p *plan) elementOps(ops []op) []op {
	for _, name := range p.elementOrder() {
		edits := p.elements[name]
		again := p.gone[setKey(edits)]
		ranges := !again && intervals(edits)
		if ranges {
			ops = each(ops, having(edits, func(e *edit) bool { return e.old != nil }), (*batch).removeElement)
		}
		for _, e := range having(edits, func(e *edit) bool { return e.new != nil }) {
			if e.old != nil && !ranges && !again {
				ops = append(ops, func(b *batch) { b.removeElement(e); b.newElement(e) })
			} else {
				ops = append(ops, func(b *batch) { b.newElement(e) })
			}
		}
	}
	return ops
}

func (p *plan) elementOrder() []string {
	names := slices.Sorted(maps.Keys(p.elements))
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(verdicts(p.elements[a]), verdicts(p.elements[b]))
	})
	return names
}

// setKey is the key of the set that elements are in.
func setKey(edits []*edit) row.NftKey {
	k := edits[0].key
	return row.NftKey{Kind: row.NftKindSet, Bridge: k.Bridge, Name: k.Name}
}

// verdicts is 1 for the elements of a verdict map.
func verdicts(edits []*edit) int {
	for _, r := range []row.Nft{edits[0].old, edits[0].new} {
		if e, ok := r.(row.NftElement); ok && e.Verdict.Op != row.NftNop {
			return 1
		}
	}
	return 0
}

func intervals(edits []*edit) bool {
	for _, r := range []row.Nft{edits[0].old, edits[0].new} {
		if e, ok := r.(row.NftElement); ok && e.Of.Value().Interval {
			return true
		}
	}
	return false
}

func having(edits []*edit, f func(*edit) bool) (some []*edit) {
	for _, e := range edits {
		if f(e) {
			some = append(some, e)
		}
	}
	return some
}

// removals takes away, in the reverse order.
func (p *plan) removals(ops []op) []op {
	for _, e := range p.baseGone() {
		ops = append(ops, func(b *batch) { b.flush(e.key.Name, e); p.removeChain(b, e) })
	}
	ways, rest := p.elementsGone()
	ops = each(ops, rest, (*batch).removeElement)
	if len(ways) > 0 {
		ops = append(ops, nil)
	}
	ops = each(ops, ways, (*batch).removeElement)
	inner := p.pick(p.chainsGone, false)
	if len(inner) > 0 {
		ops = append(ops, nil)
	}
	ops = each(ops, inner, func(b *batch, e *edit) { b.flush(e.key.Name, e) })
	ops = each(ops, p.setsGone, func(b *batch, e *edit) { p.removeSet(b, e) })
	return each(ops, inner, func(b *batch, e *edit) { p.removeChain(b, e) })
}

// baseGone are the base chains that go, filters before translation: where the kernel doesn't take all of it at once,
// no packet meets a refusal of what was to be translated before.
func (p *plan) baseGone() []*edit {
	list := p.pick(p.chainsGone, true)
	slices.SortStableFunc(list, func(a, b *edit) int { return cmp.Compare(translates(a), translates(b)) })
	return list
}

// translates is 1 for a chain of NAT.
func translates(e *edit) int {
	if c, ok := e.old.(row.NftChain); ok && c.Nat {
		return 1
	}
	return 0
}

// elementsGone are the elements that go for good: ways, of verdict maps whose keys are what another map holds, and the rest. The former
// have a transaction of their own: a packet that found in the other map which of them to follow may look for it a moment later, when
// that map leads elsewhere already. All others go together, so that nobody meets half of what went.
func (p *plan) elementsGone() (ways, rest []*edit) {
	for _, name := range slices.Sorted(maps.Keys(p.elements)) {
		edits := having(p.elements[name], func(e *edit) bool { return e.new == nil })
		switch {
		case p.gone[setKey(p.elements[name])] || len(edits) == 0 || intervals(edits):
		case verdicts(edits) == 1 && edits[0].old.(row.NftElement).Of.Value().Keys[0] == row.NftSlot:
			ways = append(ways, edits...)
		default:
			rest = append(rest, edits...)
		}
	}
	return ways, rest
}

// removeSet removes a set; elements that are to go go with it.
func (p *plan) removeSet(b *batch, e *edit) {
	b.remove(unix.NFT_MSG_DELSET, e)
	b.cover(having(p.elements[e.key.Name], func(e *edit) bool { return e.new == nil })...)
}

// removeChain removes a chain; its rules, which are flushed before, are done with it.
func (p *plan) removeChain(b *batch, e *edit) {
	b.remove(unix.NFT_MSG_DELCHAIN, e)
	b.cover(p.rules[e.key.Name]...)
}
