package rtnl

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// rows collects what a dump found.
type rows map[row.LinuxKey]row.Linux

func (r rows) add(x row.Linux) { r[x.Key()] = x }

// Dump returns everything that is ours.
func (d *Driver) Dump(ctx context.Context) (map[row.LinuxKey]row.Linux, error) {
	found := rows{}
	links, err := dumped(d.h.LinkList())
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names, ours, bridge := map[int]string{}, map[int]row.Link{}, 0
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		if r, ok := d.link(l); ok {
			ours[l.Attrs().Index] = r
			found.add(r)
		}
		if l.Attrs().Name == row.BridgeName {
			bridge = l.Attrs().Index
		}
	}
	for _, dump := range []func(rows, map[int]row.Link) error{d.dumpAddrs, d.dumpNeighs, d.dumpFou} {
		if err := dump(found, ours); err != nil {
			return nil, err
		}
	}
	if err := d.dumpRoutes(found, names, bridge); err != nil {
		return nil, err
	}
	if err := d.dumpRules(found); err != nil {
		return nil, err
	}
	return found, d.dumpWire(ctx, found)
}

// dumpWire reads what the part has on our link.
func (d *Driver) dumpWire(ctx context.Context, found rows) error {
	if _, there := found[row.Link{Name: row.WireName}.Key()]; !there || d.wire == nil {
		return nil
	}
	list, err := d.wire.Dump(ctx)
	for _, r := range list {
		found.add(r)
	}
	return err
}

func (d *Driver) dumpAddrs(found rows, ours map[int]row.Link) error {
	list, err := dumped(d.h.AddrList(nil, netlink.FAMILY_ALL))
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range list {
		l, ok := ours[a.LinkIndex]
		p := prefix(a.IPNet)
		// The kernel gives every link with IPv6 a link-local address.
		if !ok || l.Name == row.BridgeName || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			continue
		}
		quiet := a.Scope == unix.RT_SCOPE_LINK
		if p.Addr().Is6() {
			quiet = a.Flags&unix.IFA_F_DEPRECATED != 0
		}
		found.add(row.Addr{Dev: l.Name, Net: p, NoSource: quiet})
	}
	return nil
}

func (d *Driver) dumpNeighs(found rows, ours map[int]row.Link) error {
	for index, l := range ours {
		if l.Name != row.VxlanName && l.Name != row.Vxlan6Name {
			continue
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
			list, err := dumped(d.h.NeighList(index, family))
			if err != nil {
				return fmt.Errorf("list neighbours: %w", err)
			}
			for _, n := range list {
				if n.State&unix.NUD_PERMANENT != 0 && len(n.HardwareAddr) == 6 {
					found.add(row.Neigh{
						Dev: l.Name, Addr: addr(n.IP), MAC: row.MAC(n.HardwareAddr), Fdb: family == unix.AF_BRIDGE,
					})
				}
			}
		}
	}
	return nil
}

// dumpRoutes shows routes that the bridge's subnet stands in the way of without their hops, for they lead nowhere: they are to be made
// again if they are wanted, and to be removed if not.
func (d *Driver) dumpRoutes(found rows, names map[int]string, bridge int) error {
	near, err := d.gateways(bridge)
	if err != nil {
		return err
	}
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: row.RouteProtocol}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dumped(d.h.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL))
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range list {
			r := fromRoute(r, family, names)
			if shadowed(r, near) {
				r.Hops = row.Hops{}
			}
			found.add(r)
		}
	}
	return nil
}

func (d *Driver) dumpRules(found rows) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dumped(d.h.RuleList(family))
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, r := range list {
			if r.Protocol == row.RouteProtocol {
				found.add(fromRule(r, family))
			}
		}
	}
	return nil
}
