package nft

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"unique"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// dumpTries is how often a list is asked for when the tables change while it is read.
const dumpTries = 10

// Dump reads our tables. Elements of dynamic sets are the kernel's and left out.
func (d *Driver) Dump(ctx context.Context) (map[row.NftKey]row.Nft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var rows map[row.NftKey]row.Nft
	var err error
	for range dumpTries {
		rows = map[row.NftKey]row.Nft{}
		if err = d.dumpAll(ctx, rows); !errors.Is(err, errInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("nftables: read the tables %s: %w", row.NftTable, err)
	}
	return rows, nil
}

func (d *Driver) dumpAll(ctx context.Context, rows map[row.NftKey]row.Nft) error {
	d.sock.bridge = true
	err := d.dump(ctx, rows)
	d.sock.bridge = false
	if err != nil {
		return err
	}
	return d.dump(ctx, rows)
}

func (d *Driver) dump(ctx context.Context, rows map[row.NftKey]row.Nft) error {
	t, err := d.look()
	if err == nil {
		err = d.take(t)
	}
	if err != nil {
		return err
	}
	if strange, err := d.strange(ctx); err != nil || strange || t.strange(d.sock.flags) {
		other := otherTable(d.sock.bridge)
		rows[other.Key()] = other
		return err
	}
	sets, err := d.sets(ctx)
	if err != nil {
		return err
	}
	for _, s := range sets {
		rows[s.Key()] = s
	}
	if err = d.sock.list(ctx, unix.NFT_MSG_GETCHAIN, nil, func(data []byte) {
		if c, ok := readChain(data); ok {
			c.Bridge = d.sock.bridge
			rows[c.Key()] = c
		}
	}); err != nil {
		return err
	}
	chains, err := d.rules(ctx, "")
	if err != nil {
		return err
	}
	for chain, rules := range chains {
		for pos, r := range rules {
			if r.body != (row.NftBody{}) {
				r := row.NftRule{Chain: chain, Bridge: d.sock.bridge, Pos: pos, Body: r.body}
				rows[r.Key()] = r
			}
		}
	}
	for _, s := range sets {
		if err := d.elements(ctx, s, rows); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) sets(ctx context.Context) (sets []row.NftSet, err error) {
	err = d.sock.list(ctx, unix.NFT_MSG_GETSET, appendTable(nil), func(data []byte) {
		if s, ok := readSet(data); ok {
			s.Bridge = d.sock.bridge
			sets = append(sets, s)
		}
	})
	return sets, err
}

// readSet reads a set from its user data, if they still describe it. Sets without a name belong to a rule.
func readSet(b []byte) (row.NftSet, bool) {
	var name string
	var user []byte
	var flags uint32
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_SET_NAME:
			name = text(data)
		case unix.NFTA_SET_FLAGS:
			flags = number32(data)
		case unix.NFTA_SET_USERDATA:
			user = data
		}
	})
	if sum, wire, ok := readUserdata(user); ok {
		if s := readSetWire(name, wire); describes(sum, s) {
			return s, true
		}
	}
	return row.NftSet{Name: name}, flags&unix.NFT_SET_ANONYMOUS == 0
}

// describes tells whether a set would be made as its user data says that it was.
func describes(sum uint32, s row.NftSet) bool {
	return crc32.ChecksumIEEE(appendSetBody(nil, s)) == sum
}

func readChain(b []byte) (c row.NftChain, ours bool) {
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			ours = text(data) == row.NftTable
		case unix.NFTA_CHAIN_NAME:
			c.Name = text(data)
		case unix.NFTA_CHAIN_TYPE:
			c.Nat = text(data) == "nat"
		case unix.NFTA_CHAIN_POLICY:
			c.Drop = number32(data) == policyDrop
		case unix.NFTA_CHAIN_HOOK:
			attrs(data, func(typ uint16, data []byte) {
				switch n := number32(data); typ {
				case unix.NFTA_HOOK_HOOKNUM:
					c.Hook = row.NftHook(n) + row.NftPrerouting
				case unix.NFTA_HOOK_PRIORITY:
					c.Priority = int(int32(n))
				}
			})
		}
	})
	return c, ours
}

// rules lists the rules of one chain, or of all chains when none is named.
func (d *Driver) rules(ctx context.Context, chain string) (map[string][]rule, error) {
	filter := appendTable(nil)
	if chain != "" {
		filter = appendText(filter, unix.NFTA_RULE_CHAIN, chain)
	}
	chains := map[string][]rule{}
	err := d.sock.list(ctx, unix.NFT_MSG_GETRULE, filter, func(data []byte) {
		name, r := readRule(d.sock.bridge, data)
		chains[name] = append(chains[name], r)
	})
	return chains, err
}

func readRule(bridge bool, b []byte) (chain string, r rule) {
	var user []byte
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_RULE_CHAIN:
			chain = text(data)
		case unix.NFTA_RULE_HANDLE:
			r.handle = number64(data)
		case unix.NFTA_RULE_USERDATA:
			user = data
		}
	})
	var ok bool
	if r.body, ok = readBody(bridge, user); !ok {
		r.foreign = true
		r.body = row.NftForeignBody(fmt.Sprintf("handle %d", r.handle))
	}
	return chain, r
}

// readBody reads a body, if compiling it gives what the kernel was given then.
func readBody(bridge bool, user []byte) (row.NftBody, bool) {
	sum, wire, ok := readUserdata(user)
	if !ok {
		return row.NftBody{}, false
	}
	body, err := row.NftBodyOfWire(string(wire))
	if err != nil {
		return body, false
	}
	exprs, err := compile(bridge, body)
	return body, err == nil && crc32.ChecksumIEEE(exprs) == sum
}

// learn reads the chains that a plan changes: each alone, or all at once when they are many.
func (d *Driver) learn(ctx context.Context, p *plan) error {
	names, all := p.chainsToRead()
	if all || len(names) > 50 {
		chains, err := d.rules(ctx, "")
		for name, rules := range chains {
			p.know(name, rules)
		}
		return err
	}
	for _, name := range names {
		chains, err := d.rules(ctx, name)
		if err != nil {
			return err
		}
		p.know(name, chains[name])
	}
	return nil
}

// findClashes finds the ranges that are in the way of those that the kernel said are there already: to
// remove one takes its end, too. A range that only overlaps is not the row's own and stays.
func (d *Driver) findClashes(ctx context.Context, edits []*edit) error {
	have := map[unique.Handle[row.NftSet]]map[row.NftKey]row.Nft{}
	for _, e := range edits {
		r, ok := e.new.(row.NftElement)
		if !ok || !e.again || !r.Of.Value().Interval {
			continue
		}
		if have[r.Of] == nil {
			have[r.Of] = map[row.NftKey]row.Nft{}
			if err := d.elements(ctx, r.Of.Value(), have[r.Of]); err != nil {
				return err
			}
		}
		e.old = have[r.Of][e.key]
	}
	return nil
}

// elements lists the elements of a set of ours that has rows for elements. Between two parts of its answer the kernel
// knows only how many it has told (nft_rhash_walk). When it spreads its hash anew meanwhile, which it does after many
// have come, it tells some twice and as many not at all.
func (d *Driver) elements(ctx context.Context, set row.NftSet, rows map[row.NftKey]row.Nft) error {
	if set.Dynamic || set.Keys == (row.NftTypes{}) {
		return nil
	}
	s := shapeOf(set)
	of := unique.Make(set)
	before, told := len(rows), 0
	keep := func(e row.NftElement) {
		told++
		rows[e.Key()] = e
	}
	var bounds []bound
	err := d.eachElement(ctx, set.Name, func(data []byte) {
		b := s.readElement(data)
		b.Of = of
		if s.tree {
			bounds = append(bounds, b)
		} else {
			keep(b.NftElement)
		}
	})
	s.ranges(bounds, keep)
	if err == nil && len(rows)-before < told {
		err = errInterrupted
	}
	return err
}

func (d *Driver) eachElement(ctx context.Context, set string, f func(data []byte)) error {
	filter := appendText(appendTable(nil), unix.NFTA_SET_ELEM_LIST_SET, set)
	return d.sock.list(ctx, unix.NFT_MSG_GETSETELEM, filter, func(data []byte) {
		attrs(data, func(typ uint16, data []byte) {
			if typ == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				attrs(data, func(_ uint16, data []byte) { f(data) })
			}
		})
	})
}

func (s *shape) readElement(b []byte) (e bound) {
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			e.Elem = value(data)
		case elemKeyEnd:
			e.Last = s.widen(value(data))
		case unix.NFTA_SET_ELEM_DATA:
			s.readValue(data, &e.NftElement)
		case unix.NFTA_SET_ELEM_FLAGS:
			e.end = number32(data)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		}
	})
	if e.Elem = s.widen(e.Elem); e.Last == e.Elem {
		e.Last = ""
	}
	return e
}

func value(b []byte) (v string) {
	attrs(b, func(typ uint16, data []byte) {
		if typ == unix.NFTA_DATA_VALUE {
			v = string(data)
		}
	})
	return v
}

func (s *shape) readValue(b []byte, e *row.NftElement) {
	if !s.verdict {
		v := value(b)
		for len(v)%4 != 0 {
			v += "\x00"
		}
		e.Value = v
		return
	}
	attrs(b, func(_ uint16, data []byte) {
		attrs(data, func(typ uint16, data []byte) {
			switch typ {
			case unix.NFTA_VERDICT_CODE:
				e.Verdict.Op = opOf(expr.VerdictKind(int32(number32(data))))
			case unix.NFTA_VERDICT_CHAIN:
				e.Verdict.Chain = text(data)
			}
		})
	})
}
