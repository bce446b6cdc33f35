package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// checkStmt checks what a statement refers to and where it may stand.
func (f *Fake) checkStmt(chain string, s row.NftStmt) error {
	if s.Chain != "" {
		if err := f.checkJump(node{name: chain}, s.Chain); err != nil {
			return err
		}
	}
	if s.Set != "" {
		if err := f.checkSet(s); err != nil {
			return err
		}
	}
	if s.Op == row.NftVmap {
		if err := f.checkWay(node{name: chain}, node{set: true, name: s.Set}); err != nil {
			return err
		}
	}
	return f.checkPlaces(node{name: chain}, s)
}

// checkJump checks a jump from a chain or verdict map.
func (f *Fake) checkJump(from node, chain string) error {
	switch c, ok := f.chains[chain]; {
	case !ok:
		return fmt.Errorf("chain %s: %w", chain, unix.ENOENT)
	case c.Hook != row.NftNoHook:
		return fmt.Errorf("jump to base chain %s: %w", chain, unix.EOPNOTSUPP)
	}
	return f.checkWay(from, node{name: chain})
}

// checkWay checks what becomes reachable by a new edge.
func (f *Fake) checkWay(from, to node) (err error) {
	if err = f.graph.checkEdge(from, to); err != nil {
		return err
	}
	f.graph.reach(f.graph.out, to, func(chain string) {
		for _, body := range f.rules[chain] {
			for _, s := range body.Stmts() {
				if err == nil {
					err = f.checkPlaces(from, s)
				}
			}
		}
	})
	return err
}

// checkPlaces checks a statement against every base chain that leads to n.
func (f *Fake) checkPlaces(n node, s row.NftStmt) (err error) {
	if s.Op < row.NftDnatTo || s.Op > row.NftRejectAdmin {
		return nil
	}
	f.graph.reach(f.graph.in, n, func(chain string) {
		if c := f.chains[chain]; c.Hook != row.NftNoHook && !fits(s.Op, c) && err == nil {
			err = fmt.Errorf("%s reached from %s: %w", s, c, unix.EOPNOTSUPP)
		}
	})
	return err
}

// fits tells whether a statement works in a hook.
func fits(op row.NftOp, c row.NftChain) bool {
	switch op {
	case row.NftDnatTo:
		return c.Nat && (c.Hook == row.NftPrerouting || c.Hook == row.NftOutput)
	case row.NftSnatTo:
		return c.Nat && (c.Hook == row.NftPostrouting || c.Hook == row.NftInput)
	case row.NftMasquerade:
		return c.Nat && c.Hook == row.NftPostrouting
	case row.NftReject, row.NftRejectAdmin:
		return c.Hook != row.NftPostrouting
	}
	return true
}

// checkSet compares the key, and the data where there are any, with the set's.
func (f *Fake) checkSet(s row.NftStmt) error {
	set, ok := f.sets[s.Set]
	if !ok {
		return fmt.Errorf("set %s: %w", s.Set, unix.ENOENT)
	}
	keys, err := typesOfKey(s.Key)
	if err != nil {
		return err
	}
	data, err := f.typesOfData(s)
	if err != nil {
		return err
	}
	wrong := ""
	switch s.Op {
	case row.NftLookup:
		keys, data = join(keys, data), row.NftTypes{}
		wrong = differ("a key", keys, set.Keys)
	case row.NftUpdate:
		wrong = differ("data", data, set.Values)
	case row.NftVmap:
		if s.Via != "" {
			keys = data
		}
		wrong = differ("values", row.NftTypesOf(row.NftVerdict), set.Values)
	case row.NftMarkFrom:
		wrong = differ("values", row.NftTypesOf(row.NftMark), set.Values)
	case row.NftDnatTo:
		want := row.NftTypesOf(address46(s.Key), row.NftPort)
		if s.Num == 1 {
			want = row.NftTypesOf(address46(s.Key))
		}
		wrong = differ("values", want, set.Values)
	}
	if wrong == "" {
		wrong = differ("a key", keys, set.Keys)
	}
	dynamic := s.Op == row.NftUpdate || s.Op == row.NftForget
	if wrong == "" && dynamic && !set.Dynamic {
		wrong = "an update"
	}
	if wrong != "" {
		return fmt.Errorf("%s of %s: %w", wrong, set, unix.EINVAL)
	}
	return nil
}

func differ(what string, got, want row.NftTypes) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s of %s instead", what, got)
}

// typesOfData gives the types of Data, or those of what Via holds for it.
func (f *Fake) typesOfData(s row.NftStmt) (row.NftTypes, error) {
	data, err := typesOfKey(s.Data)
	if err != nil || s.Via == "" {
		return data, err
	}
	via, ok := f.sets[s.Via]
	if !ok {
		return data, fmt.Errorf("map %s: %w", s.Via, unix.ENOENT)
	}
	if wrong := differ("a key", data, via.Keys); wrong != "" {
		return data, fmt.Errorf("%s of %s: %w", wrong, via, unix.EINVAL)
	}
	return via.Values, nil
}

func join(a, b row.NftTypes) row.NftTypes {
	n := 0
	for n < len(a) && a[n] != row.NftNone {
		n++
	}
	copy(a[n:], b[:])
	return a
}

func typesOfKey(k row.NftKeyExpr) (types row.NftTypes, err error) {
	for i, t := range k {
		if t.Op == row.NftNoTerm {
			break
		}
		if types[i] = typeOfTerm(t); types[i] == row.NftNone {
			return types, fmt.Errorf("%s as part of a key: %w", t, errTerm)
		}
	}
	return types, nil
}

func typeOfTerm(t row.NftTerm) row.NftType {
	switch t.Op {
	case row.NftSaddr, row.NftDaddr, row.NftCtDaddr, row.NftCtSaddr, row.NftNextHop:
		if t.V6 {
			return row.NftIPv6
		}
		return row.NftIPv4
	case row.NftL4proto:
		return row.NftProto
	case row.NftSport, row.NftDport, row.NftCtDport:
		return row.NftPort
	case row.NftPktMark, row.NftCtMark:
		return row.NftMark
	case row.NftIif, row.NftOif:
		return row.NftIfname
	case row.NftEtherSaddr:
		return row.NftEther
	case row.NftArpSaddr:
		return row.NftIPv4
	case row.NftNDTarget:
		return row.NftIPv6
	case row.NftNumRandom, row.NftNumInc, row.NftHash:
		return row.NftSlot
	}
	return row.NftNone
}

func address46(k row.NftKeyExpr) row.NftType {
	if k.V6() {
		return row.NftIPv6
	}
	return row.NftIPv4
}

// checkOverlap refuses a range that overlaps with another of the set.
func (f *Fake) checkOverlap(set row.NftSet, e row.NftElement) error {
	if !set.Interval {
		return nil
	}
	for _, other := range f.elements[set.Name] {
		if other.Elem != e.Elem && overlap(set, e, other) {
			return fmt.Errorf("it overlaps with %s: %w", other, unix.EEXIST)
		}
	}
	return nil
}

// overlap tells whether all fields of two elements overlap.
func overlap(set row.NftSet, a, b row.NftElement) bool {
	alast, blast := lastOf(a), lastOf(b)
	at := 0
	for _, t := range set.Keys {
		end := at + (t.Size()+3)&^3
		if t == row.NftNone {
			break
		}
		if a.Elem[at:end] > blast[at:end] || b.Elem[at:end] > alast[at:end] {
			return false
		}
		at = end
	}
	return true
}
