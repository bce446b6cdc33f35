package rtnl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// change is a change of one row.
type change = row.Change[row.LinuxKey, row.Linux]

// Driver is the kernel's network configuration in one namespace.
type Driver struct {
	ns   netns.NsHandle
	h    *netlink.Handle
	port uint16
	// free are the links whose MTU nobody wants to be something. It only spares needless repairs: a driver
	// that has forgotten it finds such a link different once.
	free  map[string]bool
	index map[string]int // links by name, while an Apply runs
	wire  Part           // nil: nobody writes rows of WireGuard
}

// Part writes rows of this table that rtnetlink has no words for, those of WireGuard: in their place in the order of kinds, and
// none while its link is missing.
type Part interface {
	Dump(context.Context) (map[row.LinuxKey]row.Linux, error)
	Apply(context.Context, []change) error // row.Failed, or nil
}

// With lets a part write the rows of WireGuard.
func (d *Driver) With(p Part) *Driver {
	d.wire = p
	return d
}

// wires tells whether a kind is the part's.
func wires(k row.LinuxKind) bool { return k >= row.LinuxWireDevice && k <= row.LinuxWireAllowed }

// New makes the driver for a network namespace (0 or netns.None: the current one). Port is the UDP port for GUE
// that is ours (--overlay-encap-port).
func New(ns netns.NsHandle, port uint16) (*Driver, error) {
	if ns <= 0 {
		ns = netns.None()
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Driver{ns: ns, h: h, port: port, free: map[string]bool{}}, nil
}

// Close closes the driver's sockets.
func (d *Driver) Close() { d.h.Close() }

// Apply makes and changes rows in the order of their kinds, then removes rows in the reverse order.
func (d *Driver) Apply(ctx context.Context, changes []change) error {
	if err := d.learn(); err != nil {
		return err
	}
	changes = slices.Clone(changes)
	failed := row.Failed[row.LinuxKey]{}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.Key.Kind, b.Key.Kind) })
	d.runs(ctx, changes, failed, func(c change) bool { return c.New != nil }, d.set)
	slices.Reverse(changes)
	d.runs(ctx, changes, failed, func(c change) bool { return c.New == nil && c.Old != nil }, func(c change) error {
		if why := failed[row.WireDevice{}.Key()]; why != nil && c.Key.Kind == row.LinuxLink && c.Key.Name == row.WireName {
			return why // its device goes first
		}
		return d.remove(*c.Old)
	})
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// runs does one change after the other, those of the part together.
func (d *Driver) runs(ctx context.Context, changes []change, failed row.Failed[row.LinuxKey], which func(change) bool, do func(change) error) {
	var together []change
	flush := func() {
		if len(together) > 0 {
			d.hand(ctx, together, failed)
			together = nil
		}
	}
	for _, c := range changes {
		switch {
		case !which(c):
		case wires(c.Key.Kind):
			together = append(together, c)
		default:
			flush()
			note(failed, c, do(c))
		}
	}
	flush()
}

// hand gives changes to the part.
func (d *Driver) hand(ctx context.Context, changes []change, failed row.Failed[row.LinuxKey]) {
	err := errors.New("nobody writes rows of WireGuard here")
	if d.wire != nil {
		err = d.wire.Apply(ctx, changes)
	}
	var some row.Failed[row.LinuxKey]
	if errors.As(err, &some) {
		for k, why := range some {
			failed[k] = why
		}
	} else if err != nil {
		for _, c := range changes {
			failed[c.Key] = err
		}
	}
}

func note(failed row.Failed[row.LinuxKey], c change, err error) {
	if err != nil {
		failed[c.Key] = err
	}
}

// set makes a row or changes it to what it should be.
func (d *Driver) set(c change) error {
	switch r := (*c.New).(type) {
	case row.FouPort:
		return d.setFou(r)
	case row.Link:
		return d.setLink(r)
	case row.Addr:
		return d.setAddr(r)
	case row.Neigh:
		return d.setNeigh(r)
	case row.Route:
		return d.setRoute(r, c.Old)
	case row.Rule:
		return d.setRule(r)
	}
	return fmt.Errorf("a row of unknown kind %T", *c.New)
}

func (d *Driver) remove(old row.Linux) error {
	switch r := old.(type) {
	case row.FouPort:
		return d.removeFou(r)
	case row.Link:
		return d.removeLink(r.Name)
	case row.Addr:
		return d.removeAddr(r)
	case row.Neigh:
		return d.removeNeigh(r)
	case row.Route:
		return d.removeRoute(r)
	case row.Rule:
		return d.removeRule(r)
	}
	return fmt.Errorf("a row of unknown kind %T", old)
}

// learn reads the links' numbers.
func (d *Driver) learn() error {
	links, err := dumped(d.h.LinkList())
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	d.index = make(map[string]int, len(links))
	for _, l := range links {
		d.index[l.Attrs().Name] = l.Attrs().Index
	}
	return nil
}

// on is the number of a link.
func (d *Driver) on(name string) (int, error) {
	i, ok := d.index[name]
	if !ok {
		return 0, row.Foreign{Err: fmt.Errorf("link %s is not there (yet)", name)}
	}
	return i, nil
}

// dumped passes a list on, and takes an interrupted dump (NLM_F_DUMP_INTR: something changed meanwhile) for
// good: the change itself makes a notification, and the table is read again.
func dumped[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return list, err
}

// gone tells that what should be removed is not there.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.EADDRNOTAVAIL)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr(n.IP), bits)
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// slice is the address for the netlink library, nil for none.
func slice(a netip.Addr) net.IP {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
