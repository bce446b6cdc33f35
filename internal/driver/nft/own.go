package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Flags of a table, and who owns it, as the kernel numbers them.
const (
	flagOwner   = 0x2 // NFT_TABLE_F_OWNER (Linux 5.12): others can neither flush, change nor delete it
	flagPersist = 0x4 // NFT_TABLE_F_PERSIST (Linux 6.9): it outlives its owner, and whoever comes next may own it
	flagsOwned  = flagOwner | flagPersist
	tableOwner  = 7 // NFTA_TABLE_OWNER: the port of the owner's socket
)

// errOwned is what a change meets while the owner lives.
var errOwned = errors.New("the table belongs to another process, which runs")

// Own makes the tables the driver's own, for as long as its socket is open: the kernel refuses what anybody else would change in them, and
// leaves them out when somebody flushes the whole ruleset. They stay when the socket closes, and are free then. It tells whether the
// kernel knows how (Linux 6.9); where it doesn't, all stays as New has it.
//
// A table that stands without an owner is taken when it is read. One that was made without such flags can't get them: it is read
// like that of another version, and made anew as a whole.
func (d *Driver) Own() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.knowsOwners() {
		d.sock.flags = flagsOwned
	}
	return d.sock.flags != 0
}

// knowsOwners tries to make such a table, in a transaction that can't succeed.
func (d *Driver) knowsOwners() bool {
	const probe = row.NftTable + "-probe"
	b := newBatch(false, d.sock.seq+1, d.sock.out)
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	b.buf = append32(appendText(b.buf, unix.NFTA_TABLE_NAME, probe), unix.NFTA_TABLE_FLAGS, flagsOwned)
	b.endFor(nil, false)
	b.message(unix.NFT_MSG_DELCHAIN, 0)
	b.buf = appendText(appendText(b.buf, unix.NFTA_CHAIN_TABLE, probe), unix.NFTA_CHAIN_NAME, probe)
	b.endFor(nil, true)
	v := d.sock.transact(b)
	return v.err == nil && v.refused[0] == nil && errors.Is(v.refused[1], unix.ENOENT)
}

// table is what is to be known of a table before it is read.
type table struct {
	there bool
	flags uint32
	owner uint32 // the port of a socket; 0: none
}

func readTable(b []byte) (t table) {
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_TABLE_NAME:
			t.there = text(data) == row.NftTable
		case unix.NFTA_TABLE_FLAGS:
			t.flags = number32(data)
		case tableOwner:
			t.owner = number32(data)
		}
	})
	return t
}

// strange tells whether none of its rules counts, because it sleeps, or it lacks what can't be given to it.
func (t table) strange(flags uint32) bool {
	return t.there && (t.flags&unix.NFT_TABLE_F_DORMANT != 0 || flags&flagPersist&^t.flags != 0)
}

// look reads what the table is.
func (d *Driver) look() (t table, err error) {
	err = d.sock.ask(unix.NFT_MSG_GETTABLE, 0, appendTable(nil), func(data []byte) { t = readTable(data) })
	return t, err
}

// take makes a table without owner our own.
func (d *Driver) take(t table) error {
	if d.sock.flags == 0 || !t.there || t.strange(d.sock.flags) || t.owner == d.sock.conn.PID() {
		return nil
	}
	b := newBatch(d.sock.bridge, d.sock.seq+1, d.sock.out)
	b.flags = d.sock.flags
	b.newTable()
	v := d.sock.transact(b)
	return d.owned(errors.Join(v.err, v.refused[0]))
}

// owned says of a refusal whose table it is.
func (d *Driver) owned(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if t, no := d.look(); no == nil && t.owner != 0 && t.owner != d.sock.conn.PID() {
		return fmt.Errorf("%w (netlink port %d): %w", errOwned, t.owner, err)
	}
	return err
}
