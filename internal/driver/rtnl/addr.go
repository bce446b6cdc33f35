package rtnl

import (
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// setAddr adds an address. An IPv4 address of another scope must go first, since the kernel can't change that.
// Linux drops a link's IPv4 routes and neighbours with its last IPv4 address; Watch tells, and they come back.
func (d *Driver) setAddr(r row.Addr) error {
	index, err := d.on(r.Dev)
	if err != nil {
		return err
	}
	a := toAddr(r, index)
	if r.Net.Addr().Is6() {
		err = d.h.AddrReplace(nil, a)
	} else if err = d.h.AddrAdd(nil, a); errors.Is(err, unix.EEXIST) {
		err = d.rescope(a)
	}
	if err != nil {
		return fmt.Errorf("add address: %w", err)
	}
	return nil
}

// toAddr puts an address in the library's words. There is no duplicate address detection: service addresses are on
// many nodes, and on a link without neighbours.
func toAddr(r row.Addr, index int) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(r.Net), LinkIndex: index}
	switch {
	case r.Net.Addr().Is6():
		a.Flags = unix.IFA_F_NODAD
		if r.NoSource {
			a.ValidLft = math.MaxUint32
		}
	case r.NoSource:
		a.Scope = unix.RT_SCOPE_LINK
	}
	return a
}

func (d *Driver) rescope(a *netlink.Addr) error {
	list, err := dumped(d.h.AddrList(nil, unix.AF_INET))
	if err != nil {
		return err
	}
	for _, have := range list {
		if have.LinkIndex == a.LinkIndex && have.Equal(*a) && have.Scope == a.Scope {
			return nil
		}
	}
	if err := d.h.AddrDel(nil, a); err != nil {
		return err
	}
	return d.h.AddrAdd(nil, a)
}

func (d *Driver) removeAddr(r row.Addr) error {
	index, err := d.on(r.Dev)
	if err != nil {
		return nil
	}
	err = d.h.AddrDel(nil, &netlink.Addr{IPNet: ipNet(r.Net), LinkIndex: index})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove address: %w", err)
	}
	return nil
}

func (d *Driver) neigh(r row.Neigh) (*netlink.Neigh, error) {
	index, err := d.on(r.Dev)
	n := &netlink.Neigh{
		LinkIndex: index, Family: family(r.Addr), State: unix.NUD_PERMANENT, IP: slice(r.Addr), HardwareAddr: r.MAC[:],
	}
	if r.Fdb {
		n.Family, n.Flags = unix.AF_BRIDGE, unix.NTF_SELF
	}
	return n, err
}

func (d *Driver) setNeigh(r row.Neigh) error {
	n, err := d.neigh(r)
	if err != nil {
		return err
	}
	if err := d.h.NeighSet(n); err != nil {
		return fmt.Errorf("add neighbour: %w", err)
	}
	return nil
}

func (d *Driver) removeNeigh(r row.Neigh) error {
	n, err := d.neigh(r)
	if err != nil {
		return nil
	}
	if err := d.h.NeighDel(n); err != nil && !gone(err) {
		return fmt.Errorf("remove neighbour: %w", err)
	}
	return nil
}
