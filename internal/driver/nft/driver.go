package nft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Change is a change of a row of our table.
type Change = row.Change[row.NftKey, row.Nft]

// Driver is our tables in one network namespace. It keeps nothing of what is in them.
type Driver struct {
	netns int
	mu    sync.Mutex
	sock  *socket
}

// New opens the tables in the network namespace of the descriptor; zero or less is the caller's own. A
// table itself is made when its first row is.
func New(netns int) (*Driver, error) {
	sock, err := dial(netns)
	if err != nil {
		return nil, err
	}
	return &Driver{netns: netns, sock: sock}, nil
}

// Close closes the sockets. The tables stay as they are.
func (d *Driver) Close() error { return d.sock.close() }

// Apply makes the changes: a few thousand of them in one transaction, more of them in several, each of
// which leaves the table consistent. What the kernel refuses fails alone, with row.Failed.
func (d *Driver) Apply(ctx context.Context, changes []Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	edits := makeEdits(changes)
	if err := d.applyTo(ctx, false, edits); err != nil {
		return err
	}
	// A kernel without tables of family bridge keeps none of the others.
	if err := d.applyTo(ctx, true, edits); err != nil {
		for _, e := range edits {
			if e.key.Bridge {
				e.fail(err)
			}
		}
	}
	return failures(edits)
}

// applyTo works on the edits of one table. What is about packets comes first: after a flush it is what lets pass most.
func (d *Driver) applyTo(ctx context.Context, bridge bool, edits []*edit) error {
	edits = having(edits, func(e *edit) bool { return e.key.Bridge == bridge })
	if len(edits) == 0 {
		return nil
	}
	d.sock.bridge = bridge
	defer func() { d.sock.bridge = false }()
	if err := d.apply(ctx, edits); err != nil {
		return fmt.Errorf("nftables: change %s: %w", tableOf(bridge), d.owned(err))
	}
	if err := d.dropEmpty(edits); err != nil {
		return fmt.Errorf("nftables: delete %s: %w", tableOf(bridge), d.owned(err))
	}
	return nil
}

// tableOf names a table for people.
func tableOf(bridge bool) string {
	if bridge {
		return "table bridge " + row.NftTable
	}
	return "table inet " + row.NftTable
}

func makeEdits(changes []Change) []*edit {
	all := make([]edit, len(changes))
	edits := make([]*edit, len(changes))
	for i, c := range changes {
		e := &all[i]
		e.key = c.Key
		if c.Old != nil {
			e.old = *c.Old
		}
		if c.New != nil {
			e.new = *c.New
		}
		e.check()
		edits[i] = e
	}
	return edits
}

// check fails what can't be said to the kernel at all.
func (e *edit) check() {
	var err error
	switch r := e.new.(type) {
	case row.NftRule:
		e.data, err = encodeRule(r.Bridge, r.Body)
	case row.NftElement:
		s := shapeOf(r.Of.Value())
		err = s.check(r)
	case row.NftSet:
		_, err = appendSet(nil, r)
	}
	if err != nil {
		e.fail(fmt.Errorf("%s: %w", e.new, err))
	}
}

func failures(edits []*edit) error {
	bad := row.Failed[row.NftKey]{}
	for _, e := range edits {
		if e.state == failed {
			bad[e.key] = e.err
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return bad
}

// apply works on edits until each is done or failed. Every round that doesn't end it settles at least one.
func (d *Driver) apply(ctx context.Context, edits []*edit) error {
	for {
		edits = having(edits, func(e *edit) bool { return e.state == pending })
		if len(edits) == 0 {
			return nil
		}
		if err := d.round(ctx, edits); err != nil {
			return err
		}
	}
}

// round plans all edits afresh and sends transactions until one is refused.
func (d *Driver) round(ctx context.Context, edits []*edit) error {
	batches, err := d.batches(ctx, edits)
	if err != nil {
		return err
	}
	for _, e := range edits {
		if e.left == 0 {
			e.state = done
		}
	}
	for _, b := range batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		v := d.sock.transact(b)
		if !v.ok() {
			return d.refused(ctx, b, v)
		}
		for _, e := range b.edits {
			if e.left--; e.left == 0 {
				e.state = done
			}
		}
	}
	return nil
}

// batches are the transactions of one round.
func (d *Driver) batches(ctx context.Context, edits []*edit) ([]*batch, error) {
	if table, rest := whole(edits); table != nil {
		return d.one(replaced(table, d.sock.flags, newPlan(rest)))
	}
	if err := d.findClashes(ctx, edits); err != nil {
		return nil, err
	}
	p := newPlan(edits)
	if err := d.learn(ctx, p); err != nil {
		return nil, err
	}
	return d.build(p.ops()), nil
}

// build writes the operations into as few transactions as the socket allows.
func (d *Driver) build(ops []op) (batches []*batch) {
	b := newBatch(d.sock.bridge, d.sock.seq+1, d.sock.out)
	b.flags = d.sock.flags
	for _, o := range ops {
		if len(b.owners) > 0 && (o == nil || len(b.buf) >= d.sock.most) {
			batches = append(batches, b)
			b = newBatch(d.sock.bridge, b.base+uint32(len(b.owners))+2, make([]byte, 0, d.sock.most))
			b.flags = d.sock.flags
		}
		if o != nil {
			o(b)
		}
	}
	if len(b.owners) > 0 {
		batches = append(batches, b)
	}
	return batches
}

// refused finds out whose fault it was that a transaction was refused. Where the kernel doesn't tell the
// message, halves of the edits are tried on their own.
func (d *Driver) refused(ctx context.Context, b *batch, v verdict) error {
	if v.err == nil {
		if b.settle(v.refused) {
			return nil
		}
		for _, v.err = range v.refused {
			break
		}
	}
	var errno syscall.Errno
	if v.err != nil && (!errors.As(v.err, &errno) || errno == unix.EPERM || errno == unix.EOPNOTSUPP) {
		return v.err
	}
	edits := having(unrepeated(b.edits), func(e *edit) bool { return e.state == pending })
	if len(edits) == 1 {
		edits[0].fail(fmt.Errorf("%s: %w", edits[0], v.err))
		return nil
	}
	if len(edits) == 0 {
		return v.err
	}
	half := len(edits) / 2
	if err := d.apply(ctx, edits[:half]); err != nil {
		return err
	}
	return d.apply(ctx, edits[half:])
}

func unrepeated(edits []*edit) (some []*edit) {
	seen := map[*edit]bool{}
	for _, e := range edits {
		if !seen[e] {
			seen[e] = true
			some = append(some, e)
		}
	}
	return some
}

// settle draws the consequences of refused messages. What can be done otherwise, or alone, is not failed yet, and
// nothing else is in the same round: it may only have failed in consequence.
func (b *batch) settle(refused map[int]error) bool {
	better, worse := false, false
	for i, err := range refused {
		edits := b.of(i)
		for _, e := range edits {
			if len(edits) > 1 {
				e.alone, better = true, true
			} else if e.recover(b.owners[i].remove, err) {
				better = true
			}
		}
	}
	if better {
		return true
	}
	first := slices.Min(slices.Collect(maps.Keys(refused)))
	for i, err := range refused {
		for _, e := range b.of(i) {
			if i == first || certain(err) {
				e.fail(fmt.Errorf("%s: %w", e, err))
				worse = true
			}
		}
	}
	return worse
}

// certain tells whether an error is about its message alone. Others may come from the kernel's validation
// of all chains, which it repeats with every rule once a rule before has made them wrong.
func certain(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY)
}

// recover knows that what is gone is removed, and that what is there in another form must be removed first.
func (e *edit) recover(remove bool, err error) bool {
	switch {
	case e.state != pending:
		return false
	case remove && errors.Is(err, unix.ENOENT):
		e.old = nil
		if e.new == nil {
			e.state = done
		}
		return true
	case !remove && errors.Is(err, unix.EEXIST) && !e.again && e.key.Kind != row.NftKindRule:
		e.again, e.old = true, e.standIn()
		return true
	}
	return false
}

// standIn is what has to go before the edit's row can come.
func (e *edit) standIn() row.Nft {
	switch e.key.Kind {
	case row.NftKindSet:
		return row.NftSet{Name: e.key.Name, Bridge: e.key.Bridge}
	case row.NftKindChain:
		return row.NftChain{Name: e.key.Name, Bridge: e.key.Bridge, Priority: -1}
	}
	return e.new
}

// String tells what was tried.
func (e *edit) String() string {
	switch {
	case e.new == nil:
		return "delete " + e.key.String()
	case e.again:
		return "replace by " + e.new.String()
	}
	return e.new.String()
}

// dropEmpty deletes the table when what was removed was the last of it.
func (d *Driver) dropEmpty(edits []*edit) error {
	if !slices.ContainsFunc(edits, func(e *edit) bool { return e.new == nil && e.key.Kind < row.NftKindRule }) {
		return nil
	}
	used := false
	if err := d.sock.ask(unix.NFT_MSG_GETTABLE, 0, appendTable(nil), func(data []byte) {
		attrs(data, func(typ uint16, data []byte) {
			used = used || typ == unix.NFTA_TABLE_USE && string(data) != "\x00\x00\x00\x00"
		})
	}); err != nil || used {
		return err
	}
	b := newBatch(d.sock.bridge, d.sock.seq+1, d.sock.out)
	b.message(unix.NFT_MSG_DELTABLE, 0)
	b.buf = appendTable(b.buf)
	b.endFor(nil, true)
	v := d.sock.transact(b)
	for _, err := range v.refused {
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return v.err
}
