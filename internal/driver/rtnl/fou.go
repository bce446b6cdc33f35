package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// dumpFou finds GUE ports that are ours. A kernel without the fou module has none.
func (d *Driver) dumpFou(found rows, ours map[int]row.Link) error {
	ports := map[uint16]bool{d.port: true}
	for _, l := range ours {
		if l.Kind == row.LinkIPIP || l.Kind == row.LinkIP6Tnl {
			ports[l.Port] = true
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dumped(d.h.FouList(family))
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list GUE ports: %w", err)
		}
		for _, f := range list {
			if f.EncapType == netlink.FOU_ENCAP_GUE && ports[uint16(f.Port)] {
				found.add(row.FouPort{V6: f.Family == unix.AF_INET6, Port: uint16(f.Port)})
			}
		}
	}
	return nil
}

func fou(r row.FouPort) netlink.Fou {
	f := netlink.Fou{Family: unix.AF_INET, Port: int(r.Port), EncapType: netlink.FOU_ENCAP_GUE}
	if r.V6 {
		f.Family = unix.AF_INET6
	}
	return f
}

func (d *Driver) setFou(r row.FouPort) error {
	err := d.h.FouAdd(fou(r))
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel has no foo-over-UDP (module fou): %w", err)
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EALREADY):
		return d.sameFou(r, err)
	}
	return err
}

// sameFou tells whether the port that is in use already is the one that we want.
func (d *Driver) sameFou(r row.FouPort, err error) error {
	list, _ := dumped(d.h.FouList(fou(r).Family))
	for _, f := range list {
		if f.EncapType == netlink.FOU_ENCAP_GUE && f.Port == int(r.Port) && f.Family == fou(r).Family {
			return nil
		}
	}
	return fmt.Errorf("UDP port %d is in use: %w", r.Port, err)
}

func (d *Driver) removeFou(r row.FouPort) error {
	if err := d.h.FouDel(fou(r)); err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove GUE port: %w", err)
	}
	return nil
}
