package rtnl

import (
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

func (d *Driver) setAddr(r row.Addr) error {
	index, err := d.on(r.Dev)
	if err != nil {
		return err
	}
	// No duplicate address detection: service addresses are on many nodes, and are on a link without neighbours.
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
	if err := d.h.AddrReplace(nil, a); err != nil {
		return fmt.Errorf("add address: %w", err)
	}
	return nil
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
