package nft

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Fake is our tables in memory. It refuses what the kernel refuses: names of what is not there, removal of
// what is in use, ranges that overlap, jumps too deep, address translation in the wrong hook. It also
// compares the types of keys with those of their sets, where the kernel only counts bytes.
type Fake struct {
	mu       sync.Mutex
	sets     map[string]row.NftSet
	chains   map[string]row.NftChain
	rules    map[string]map[int]row.NftBody
	elements map[string]map[string]row.NftElement
	graph    graph
	bridge   *Fake // the table of family bridge; nil: this is it
}

// NewFake makes empty ones.
func NewFake() *Fake {
	f := newFakeTable()
	f.bridge = newFakeTable()
	return f
}

func newFakeTable() *Fake {
	return &Fake{
		sets: map[string]row.NftSet{}, chains: map[string]row.NftChain{},
		rules: map[string]map[int]row.NftBody{}, elements: map[string]map[string]row.NftElement{},
		graph: newGraph(),
	}
}

// Dump gives all rows.
func (f *Fake) Dump(ctx context.Context) (map[row.NftKey]row.Nft, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := map[row.NftKey]row.Nft{}
	if f.bridge != nil {
		rows, _ = f.bridge.Dump(ctx)
	}
	put := func(r row.Nft) { rows[r.Key()] = r }
	for _, s := range f.sets {
		put(s)
	}
	for _, c := range f.chains {
		put(c)
	}
	for chain, rules := range f.rules {
		for pos, body := range rules {
			put(row.NftRule{Chain: chain, Bridge: f.bridge == nil, Pos: pos, Body: body})
		}
	}
	for _, elements := range f.elements {
		for _, e := range elements {
			put(e)
		}
	}
	return rows, ctx.Err()
}

// Apply makes the changes in the order of the kernel's driver.
func (f *Fake) Apply(ctx context.Context, changes []Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	edits := makeEdits(changes)
	f.apply(having(edits, func(e *edit) bool { return !e.key.Bridge }))
	f.bridge.apply(having(edits, func(e *edit) bool { return e.key.Bridge }))
	return failures(edits)
}

func (f *Fake) apply(edits []*edit) {
	slices.SortFunc(edits, func(a, b *edit) int {
		return cmp.Or(cmp.Compare(a.step(), b.step()), cmp.Compare(a.key.Kind, b.key.Kind),
			strings.Compare(a.key.Name, b.key.Name), cmp.Compare(a.key.Pos, b.key.Pos), strings.Compare(a.key.Elem, b.key.Elem))
	})
	f.takeOut(edits)
	for _, e := range edits {
		if e.state != pending {
			continue
		}
		if err := f.edit(e); err != nil {
			e.fail(fmt.Errorf("%s: %w", e, err))
		}
	}
}

// step orders edits: sets, chains, rules and elements come, elements and rules go, then sets, then chains.
func (e *edit) step() int {
	switch {
	case e.new != nil:
		return 0
	case e.key.Kind >= row.NftKindRule:
		return 1
	case e.key.Kind == row.NftKindSet:
		return 2
	}
	return 3
}

// takeOut removes the elements that are to be replaced or to go, so that new ranges find their room.
func (f *Fake) takeOut(edits []*edit) {
	for _, e := range edits {
		if e.state == pending && e.key.Kind == row.NftKindElement && (e.new == nil || e.new != e.old) {
			f.dropElement(e.key)
		}
	}
}

func (f *Fake) dropElement(k row.NftKey) {
	if old, ok := f.elements[k.Name][k.Elem]; ok {
		f.graph.element(old, -1)
		delete(f.elements[k.Name], k.Elem)
	}
}

func (f *Fake) edit(e *edit) error {
	switch r := e.new.(type) {
	case row.NftSet:
		return f.putSet(r)
	case row.NftChain:
		return f.putChain(r)
	case row.NftRule:
		return f.putRule(r)
	case row.NftElement:
		return f.putElement(r)
	}
	switch e.key.Kind {
	case row.NftKindSet:
		return f.dropSet(e.key.Name)
	case row.NftKindChain:
		return f.dropChain(e.key.Name)
	case row.NftKindRule:
		f.dropRule(e.key.Name, e.key.Pos)
	}
	return nil
}

func (f *Fake) putSet(s row.NftSet) error {
	if old, ok := f.sets[s.Name]; ok && old != s {
		for k := range f.elements[s.Name] {
			f.dropElement(row.NftKey{Name: s.Name, Elem: k})
		}
	}
	f.sets[s.Name] = s
	if f.elements[s.Name] == nil {
		f.elements[s.Name] = map[string]row.NftElement{}
	}
	return nil
}

func (f *Fake) putChain(c row.NftChain) error {
	if c.Hook != row.NftNoHook && len(f.graph.in[node{name: c.Name}]) > 0 {
		return fmt.Errorf("a base chain that is jumped to: %w", unix.EOPNOTSUPP)
	}
	f.chains[c.Name] = c
	if f.rules[c.Name] == nil {
		f.rules[c.Name] = map[int]row.NftBody{}
	}
	return nil
}

func (f *Fake) putRule(r row.NftRule) error {
	if _, ok := f.chains[r.Chain]; !ok {
		return fmt.Errorf("chain %s: %w", r.Chain, unix.ENOENT)
	}
	for _, s := range r.Body.Stmts() {
		if err := f.checkStmt(r.Chain, s); err != nil {
			return err
		}
	}
	f.dropRule(r.Chain, r.Pos)
	f.graph.rule(r.Chain, r.Body, 1)
	f.rules[r.Chain][r.Pos] = r.Body
	return nil
}

func (f *Fake) dropRule(chain string, pos int) {
	if body, ok := f.rules[chain][pos]; ok {
		f.graph.rule(chain, body, -1)
		delete(f.rules[chain], pos)
	}
}

func (f *Fake) putElement(e row.NftElement) error {
	set, ok := f.sets[e.Of.Value().Name]
	switch {
	case !ok:
		return fmt.Errorf("set %s: %w", e.Of.Value().Name, unix.ENOENT)
	case set != e.Of.Value():
		return fmt.Errorf("an element of %s in %s: %w", e.Of.Value(), set, unix.EINVAL)
	}
	if c := e.Verdict.Chain; c != "" {
		if err := f.checkJump(node{set: true, name: set.Name}, c); err != nil {
			return err
		}
	}
	if err := f.checkOverlap(set, e); err != nil {
		return err
	}
	f.dropElement(e.Key())
	f.elements[set.Name][e.Elem] = e
	f.graph.element(e, 1)
	return nil
}

func (f *Fake) dropSet(name string) error {
	if f.graph.used[name] > 0 {
		return fmt.Errorf("set %s is in use: %w", name, unix.EBUSY)
	}
	for k := range maps.Clone(f.elements[name]) {
		f.dropElement(row.NftKey{Name: name, Elem: k})
	}
	delete(f.sets, name)
	delete(f.elements, name)
	return nil
}

func (f *Fake) dropChain(name string) error {
	if len(f.graph.in[node{name: name}]) > 0 {
		return fmt.Errorf("chain %s is in use: %w", name, unix.EBUSY)
	}
	for pos := range maps.Clone(f.rules[name]) {
		f.dropRule(name, pos)
	}
	delete(f.chains, name)
	delete(f.rules, name)
	return nil
}
