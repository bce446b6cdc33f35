package nft

import (
	"context"
	"math"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// A table of ours that another version has written may hold what this one has no rows for: sets of types that came later,
// chains of another type, objects, flowtables. Parts of it can't be told from one another, let alone be changed one by one. It
// shows in a dump as one row, beside nothing else, and is replaced as a whole, by one transaction, when that row goes.

// otherVersion is the key of that row. No name of ours has a space.
const otherVersion = "(the table of another version)"

func otherTable(bridge bool) row.NftChain { return row.NftChain{Name: otherVersion, Bridge: bridge} }

// whole is the edit that asks for the replacement of the table, or nil, and the others.
func whole(edits []*edit) (table *edit, rest []*edit) {
	for _, e := range edits {
		if e.key == otherTable(e.key.Bridge).Key() && e.new == nil {
			table = e
		} else {
			rest = append(rest, e)
		}
	}
	return table, rest
}

// replaced is a plan for an empty table in one transaction, with the removal of the one that is there before it. A packet
// meets the old table or the new one: both have sets of their own, so that what plan.ops keeps apart need not be.
func replaced(table *edit, flags uint32, p *plan) []op {
	for name := range p.rules {
		p.know(name, nil)
	}
	table.left = 0
	ops := []op{func(b *batch) {
		b.flags = 0
		b.newTable() // to remove what isn't there would fail
		b.message(unix.NFT_MSG_DELTABLE, 0)
		b.buf = appendTable(b.buf)
		b.endFor(table, true)
		b.flags = flags
	}}
	for _, o := range p.ops() {
		if o != nil {
			ops = append(ops, o)
		}
	}
	return ops
}

// one writes all operations into one transaction, however long it is.
func (d *Driver) one(ops []op) ([]*batch, error) {
	b := newBatch(d.sock.bridge, d.sock.seq+1, d.sock.out)
	for _, o := range ops {
		o(b)
	}
	if len(b.buf) < d.sock.most {
		return []*batch{b}, nil
	}
	err := d.sock.conn.SetWriteBuffer(min(2*len(b.buf), math.MaxInt32))
	return []*batch{b}, err
}

// strange tells whether the table holds what this version has no rows for.
func (d *Driver) strange(ctx context.Context) (bool, error) {
	found := false
	note := func(data []byte, strange func(typ uint16, data []byte) bool) {
		ours, is := false, false
		attrs(data, func(typ uint16, data []byte) {
			ours = ours || typ == 1 && text(data) == row.NftTable // 1 in every kind of message
			is = is || strange(typ, data)
		})
		found = found || ours && is
	}
	all := func(uint16, []byte) bool { return true }
	for typ, strange := range map[int]func(uint16, []byte) bool{
		unix.NFT_MSG_GETSET: strangeSet, unix.NFT_MSG_GETCHAIN: strangeChain, unix.NFT_MSG_GETOBJ: all, unix.NFT_MSG_GETFLOWTABLE: all,
	} {
		if err := d.sock.list(ctx, typ, filter(typ), func(data []byte) { note(data, strange) }); err != nil {
			return false, err
		}
	}
	return found, nil
}

// filter names the table, but for the lists that the kernel gives whole.
func filter(typ int) []byte {
	if typ == unix.NFT_MSG_GETCHAIN {
		return nil
	}
	return appendTable(nil)
}

// strangeSet knows a set that a kube-router has described in words that this one doesn't have.
func strangeSet(typ uint16, data []byte) bool {
	if typ != unix.NFTA_SET_USERDATA {
		return false
	}
	sum, wire, ok := readUserdata(data)
	return ok && !describes(sum, readSetWire("", wire))
}

// strangeChain knows a base chain of another type, or at another hook, than those that we make.
func strangeChain(typ uint16, data []byte) (is bool) {
	switch typ {
	case unix.NFTA_CHAIN_TYPE:
		name := text(data)
		return name != "filter" && name != "nat"
	case unix.NFTA_CHAIN_HOOK:
		attrs(data, func(typ uint16, data []byte) {
			is = is || typ == unix.NFTA_HOOK_HOOKNUM && number32(data) > hookNumber(row.NftPostrouting)
		})
	}
	return is
}
