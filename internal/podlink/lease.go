package podlink

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultDataDir is where host-local keeps leases, in a folder for each network.
const DefaultDataDir = "/var/lib/cni/networks"

// Young is how old a lease must be to be freed because nothing is known of its owner: an ADD may be at work.
const Young = time.Minute

// Address is what a pod is given of one set.
type Address struct {
	Prefix  netip.Prefix // the address, with the length of its subnet
	Gateway netip.Addr
}

// Lease is an address that somebody has.
type Lease struct {
	Addr  netip.Addr
	Owner Owner
	Since time.Time // when it was written
}

// Leases is host-local's store of one network, held under host-local's own lock: a file for each address, named by it, which holds its
// owner, and one for each set that names the address given last.
type Leases struct {
	network, dir string
	lock         *os.File
}

// Taken is an address that was asked for and that somebody has.
type Taken struct {
	Addr netip.Addr
	By   Owner
}

// Error names who has it.
func (t Taken) Error() string {
	return fmt.Sprintf("address %s is taken by container %s", t.Addr, t.By.Container)
}

// ErrFull is a set without a free address.
var ErrFull = errors.New("no address is free")

// OutOfRange is an address that was asked for and that no range may give.
type OutOfRange struct{ Addr netip.Addr }

// Error names the address.
func (e OutOfRange) Error() string {
	return fmt.Sprintf("address %s is not one that this node may give to a pod", e.Addr)
}

// Folder is where the leases of a network are; dataDir is empty for the default one. A name that is no file's is an error.
func Folder(dataDir, network string) (string, error) {
	if network == "" || network != filepath.Base(network) || network == ".." || network == "." {
		return "", fmt.Errorf("%q can't be the name of a network", network)
	}
	if dataDir == "" {
		dataDir = DefaultDataDir
	}
	return filepath.Join(dataDir, network), nil
}

// Open waits for the store's lock. The store is made if it isn't there.
func Open(dataDir, network string) (*Leases, error) {
	dir, err := Folder(dataDir, network)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			return &Leases{network, dir, lock}, nil
		}
		if !errors.Is(err, unix.EINTR) {
			lock.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
	}
}

// Close lets the lock go.
func (l *Leases) Close() { l.lock.Close() }

// Take gives an owner one address of every set, those that are wished for where there are some; all or none.
func (l *Leases) Take(o Owner, sets []Set, wishes []netip.Addr) (given []Address, err error) {
	defer func() {
		if err != nil {
			for _, g := range given {
				err = errors.Join(err, os.Remove(l.file(g.Prefix.Addr())))
			}
			given = nil
		}
	}()
	for _, w := range wishes {
		if _, ok := find(sets, w); !ok {
			return nil, OutOfRange{w}
		}
	}
	for i, set := range sets {
		a, err := l.one(o, strconv.Itoa(i), set, wishes)
		if err != nil {
			return given, err
		}
		given = append(given, a)
	}
	return given, nil
}

func find(sets []Set, a netip.Addr) (Range, bool) {
	for _, set := range sets {
		for _, r := range set {
			if r.holds(a) {
				return r, true
			}
		}
	}
	return Range{}, false
}

func (l *Leases) one(o Owner, id string, set Set, wishes []netip.Addr) (Address, error) {
	for _, w := range wishes {
		r, ok := find([]Set{set}, w)
		if !ok {
			continue
		}
		if free, err := l.reserve(o, w); err != nil {
			return Address{}, err
		} else if !free {
			return Address{}, Taken{w, l.owner(w)}
		}
		return r.give(w), nil
	}
	next, r := start(set, l.last(id))
	for first := next; ; {
		if set[r].holds(next) {
			free, err := l.reserve(o, next)
			if err != nil {
				return Address{}, err
			}
			if free {
				// The address given last is but where the next search begins: without it addresses are reused earlier.
				_ = os.WriteFile(filepath.Join(l.dir, "last_reserved_ip."+id), []byte(next.String()), 0o600)
				return set[r].give(next), nil
			}
		}
		if next, r = after(set, next, r); next == first {
			return Address{}, fmt.Errorf("%s: %w", set, ErrFull)
		}
	}
}

// String names the ranges.
func (s Set) String() string {
	var list []string
	for _, r := range s {
		list = append(list, r.Subnet.String())
	}
	return "range " + strings.Join(list, ", ")
}

func (r Range) give(a netip.Addr) Address {
	return Address{netip.PrefixFrom(a, r.Subnet.Bits()), r.Gateway}
}

// start is where the search for a free address begins: behind the one given last, so that addresses rest as long as can be.
func start(set Set, last netip.Addr) (netip.Addr, int) {
	for i, r := range set {
		if r.Subnet.Contains(last) && !last.Less(r.First) && !r.Last.Less(last) {
			return after(set, last, i)
		}
	}
	return set[0].First, 0
}

// after is the next address of a set; behind the last comes the first.
func after(set Set, a netip.Addr, r int) (netip.Addr, int) {
	if a == set[r].Last {
		r = (r + 1) % len(set)
		return set[r].First, r
	}
	return a.Next(), r
}

func (l *Leases) file(a netip.Addr) string { return filepath.Join(l.dir, a.String()) }

func (l *Leases) last(id string) netip.Addr {
	text, err := os.ReadFile(filepath.Join(l.dir, "last_reserved_ip."+id))
	if err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// reserve writes a lease, unless somebody has the address. Whoever reads the store sees it whole or not at all.
func (l *Leases) reserve(o Owner, a netip.Addr) (bool, error) {
	if _, err := os.Lstat(l.file(a)); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	draft := filepath.Join(l.dir, "kube-router.draft") // one is enough: we have the lock
	if err := os.WriteFile(draft, []byte(o.lease()), 0o600); err != nil {
		return false, err
	}
	return true, os.Rename(draft, l.file(a))
}

func (l *Leases) owner(a netip.Addr) Owner {
	text, err := os.ReadFile(l.file(a))
	if err != nil {
		return Owner{}
	}
	return l.parse(text)
}

func (l *Leases) parse(text []byte) Owner {
	id, ifname, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return Owner{l.network, strings.TrimSpace(id), strings.TrimSpace(ifname)}
}

// All lists the leases. Files that are none are left out, and one that is just going.
func (l *Leases) All() ([]Lease, error) {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var list []Lease
	for _, f := range files {
		a, err := netip.ParseAddr(f.Name()) // host-local leaves the colons of IPv6 as they are
		if err != nil || !f.Type().IsRegular() {
			continue
		}
		info, err := f.Info()
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(l.dir, f.Name()))
		if err != nil {
			continue
		}
		list = append(list, Lease{a, l.parse(text), info.ModTime()})
	}
	return list, nil
}

// has tells whether a lease is an owner's. Old ones name no interface.
func (le Lease) has(o Owner) bool {
	return le.Owner == o || le.Owner.Ifname == "" && le.Owner.Container == o.Container
}

// Of are the addresses that an owner has.
func (l *Leases) Of(o Owner) ([]netip.Addr, error) {
	all, err := l.All()
	var list []netip.Addr
	for _, le := range all {
		if le.has(o) {
			list = append(list, le.Addr)
		}
	}
	return list, err
}

// Free gives back what an owner has.
func (l *Leases) Free(o Owner) error {
	list, err := l.Of(o)
	for _, a := range list {
		if e := os.Remove(l.file(a)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Sweep frees the addresses of owners that don't live, and takes away what is left of their links before. It tells how many addresses that
// were, and how many more it would have freed were they not Young.
func (l *Leases) Sweep(now time.Time, lives func(Owner) bool) (freed, young int, err error) {
	all, err := l.All()
	for _, le := range all {
		if lives(le.Owner) {
			continue
		}
		if now.Sub(le.Since) < Young {
			young++
			continue
		}
		e := Disconnect(le.Owner)
		if e == nil {
			e = os.Remove(l.file(le.Addr))
		}
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("free %s: %w", le.Addr, e))
			continue
		}
		freed++
	}
	return freed, young, err
}
