package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// rule is a rule as the kernel has it.
type rule struct {
	handle  uint64
	body    row.NftBody // empty: it only holds its place
	foreign bool
}

// slot is one place in a chain: what is there and what is wanted there.
type slot struct {
	have *rule
	edit *edit // nil: leave it
}

// slots lays the edits over the rules, and tells how many places are needed afterwards.
func (p *plan) slots(chain string) (slots []slot, need int) {
	have := p.have[chain]
	slots = make([]slot, len(have))
	for i := range have {
		slots[i].have = &have[i]
	}
	for _, e := range p.rules[chain] {
		if e.key.Pos < 0 || e.new == nil && e.key.Pos >= len(slots) {
			continue
		}
		for e.key.Pos >= len(slots) {
			slots = append(slots, slot{})
		}
		slots[e.key.Pos].edit = e
	}
	for i, s := range slots {
		if _, ok := s.wants(); ok {
			need = i + 1
		}
	}
	return slots, need
}

// wants is the body that is to stand in the slot.
func (s slot) wants() (row.NftBody, bool) {
	switch {
	case s.edit != nil && s.edit.new != nil:
		return s.edit.new.(row.NftRule).Body, true
	case s.edit != nil || s.have == nil:
		return row.NftBody{}, false
	}
	return s.have.body, s.have.body != row.NftBody{}
}

// changeRules brings one chain from what it has to what is wanted: rules are replaced in their places,
// appended, and removed from the end. A place without a rule is held by one that does nothing.
func (p *plan) changeRules(b *batch, chain string) {
	slots, need := p.slots(chain)
	for _, s := range slots[:need] {
		body, _ := s.wants()
		switch {
		case s.have != nil && s.have.body == body:
		case s.have != nil:
			b.rule(chain, unix.NLM_F_REPLACE, s.have.handle, s.data(b.bridge), s.edit)
		default:
			b.rule(chain, unix.NLM_F_CREATE|unix.NLM_F_APPEND, 0, s.data(b.bridge), s.edit)
		}
	}
	for _, s := range slices.Backward(slots[need:]) {
		if s.have != nil {
			b.removeRule(chain, s.have.handle, s.edit)
		}
	}
}

// rewriteRules fills a chain that has been emptied. Rules of others are not kept.
func (p *plan) rewriteRules(b *batch, chain string) {
	slots, need := p.slots(chain)
	for _, s := range slots[:need] {
		b.rule(chain, unix.NLM_F_CREATE|unix.NLM_F_APPEND, 0, s.data(b.bridge), s.edit)
	}
	for _, s := range slots[need:] {
		if s.edit != nil {
			b.cover(s.edit)
		}
	}
}

// data is what stands in the slot afterwards, in the kernel's words.
func (s slot) data(bridge bool) ruleData {
	switch {
	case s.edit != nil && s.edit.new != nil:
		return s.edit.data
	case s.edit == nil && s.have != nil && !s.have.foreign:
		if d, err := encodeRule(bridge, s.have.body); err == nil {
			return d
		}
	}
	return ruleData{user: userdata("", nil)}
}

func (b *batch) rule(chain string, flags uint16, handle uint64, d ruleData, e *edit) {
	b.message(unix.NFT_MSG_NEWRULE, flags)
	b.buf = appendText(appendTable(b.buf), unix.NFTA_RULE_CHAIN, chain)
	if handle != 0 {
		b.buf = append64(b.buf, unix.NFTA_RULE_HANDLE, handle)
	}
	b.buf = appendAttr(b.buf, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, d.exprs)
	b.buf = appendAttr(b.buf, unix.NFTA_RULE_USERDATA, d.user)
	b.endFor(e, e != nil && e.new == nil)
}

func (b *batch) removeRule(chain string, handle uint64, e *edit) {
	b.message(unix.NFT_MSG_DELRULE, 0)
	b.buf = appendText(appendTable(b.buf), unix.NFTA_RULE_CHAIN, chain)
	b.buf = append64(b.buf, unix.NFTA_RULE_HANDLE, handle)
	b.endFor(e, true)
}

// flush removes all rules of a chain.
func (b *batch) flush(chain string, e *edit) {
	b.message(unix.NFT_MSG_DELRULE, 0)
	b.buf = appendText(appendTable(b.buf), unix.NFTA_RULE_CHAIN, chain)
	b.endFor(e, true)
}

func (b *batch) newTable() {
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	b.buf = appendTable(b.buf)
	if b.flags != 0 {
		b.buf = append32(b.buf, unix.NFTA_TABLE_FLAGS, b.flags)
	}
	b.endFor(nil, false)
}

func (b *batch) newSet(e *edit) {
	b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	b.buf, _ = appendSet(b.buf, e.new.(row.NftSet))
	b.endFor(e, false)
}

func (b *batch) newChain(e *edit) {
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	b.buf = appendChain(b.buf, e.new.(row.NftChain))
	b.endFor(e, false)
}

// remove removes a set or chain by its name.
func (b *batch) remove(typ int, e *edit) {
	b.message(typ, 0)
	name := uint16(unix.NFTA_CHAIN_NAME)
	if e.key.Kind == row.NftKindSet {
		name = unix.NFTA_SET_NAME
	}
	b.buf = appendText(appendTable(b.buf), name, e.key.Name)
	b.endFor(e, true)
}

func (b *batch) newElement(e *edit) {
	b.element(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, e.new.(row.NftElement), e)
}

func (b *batch) removeElement(e *edit) {
	b.element(unix.NFT_MSG_DELSETELEM, 0, e.old.(row.NftElement), e)
}

// element puts an element into a message with those of its set before it: for each message the kernel walks through
// all sets of the table to find the one. What was refused together comes alone.
func (b *batch) element(typ int, flags uint16, r row.NftElement, e *edit) {
	s, remove := shapeOf(r.Of.Value()), typ == unix.NFT_MSG_DELSETELEM
	l := b.list
	joins := l.set == s.set.Name && l.remove == remove && len(b.buf)-l.at < listMost && !e.alone
	if !joins {
		l = list{set: s.set.Name, remove: remove}
		b.message(typ, flags)
		b.buf = appendText(appendTable(b.buf), unix.NFTA_SET_ELEM_LIST_SET, l.set)
		b.buf, l.at = open(b.buf, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	}
	b.buf = s.appendElement(b.buf, r, remove)
	closeAttr(b.buf, l.at)
	if joins {
		b.joinFor(e)
		return
	}
	if b.endFor(e, remove); !e.alone {
		b.list = l
	}
}
