package rtnl

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// metric6 is what Linux makes of an IPv6 route without a metric (IP6_RT_PRIO_USER).
const metric6 = 1024

// fromRoute reads a route. Its kind is ours, or the kernel's number for one that we don't make.
func fromRoute(r netlink.Route, family int, names map[int]string) row.Route {
	out := row.Route{
		Table: row.Table(r.Table), Dst: prefix(r.Dst), Metric: uint32(r.Priority), Src: addr(r.Src), MTU: r.MTU,
	}
	if !out.Dst.IsValid() {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	if family == unix.AF_INET6 {
		if r.Dst == nil {
			out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if out.Metric == metric6 {
			out.Metric = 0
		}
	}
	switch r.Type {
	case unix.RTN_UNICAST:
	case unix.RTN_LOCAL:
		out.Kind = row.RouteLocal
	case unix.RTN_UNREACHABLE:
		out.Kind = row.RouteUnreachable
		return out
	default:
		out.Kind = row.RouteKind(r.Type)
	}
	out.Hops = row.MakeHops(hops(r, names)...)
	return out
}

func hops(r netlink.Route, names map[int]string) []row.Hop {
	if len(r.MultiPath) == 0 {
		return []row.Hop{{Via: addr(r.Gw), Dev: names[r.LinkIndex], Onlink: r.Flags&unix.RTNH_F_ONLINK != 0}}
	}
	var list []row.Hop
	for _, n := range r.MultiPath {
		list = append(list, row.Hop{Via: addr(n.Gw), Dev: names[n.LinkIndex], Onlink: n.Flags&unix.RTNH_F_ONLINK != 0})
	}
	return list
}

// toRoute puts a route in the library's words.
func (d *Driver) toRoute(r row.Route) (*netlink.Route, error) {
	out := &netlink.Route{
		Family: family(r.Dst.Addr()), Table: int(r.Table), Dst: ipNet(r.Dst), Priority: metric(r), Src: slice(r.Src),
		MTU: r.MTU, Protocol: row.RouteProtocol, Type: kind(r.Kind),
	}
	if r.Kind == row.RouteLocal {
		out.Scope = unix.RT_SCOPE_HOST
	}
	list := r.Hops.List()
	for _, h := range list {
		index, err := d.on(h.Dev)
		if err != nil {
			return nil, err
		}
		flags := 0
		if h.Onlink {
			flags = unix.RTNH_F_ONLINK
		}
		if len(list) == 1 {
			out.LinkIndex, out.Gw, out.Flags = index, slice(h.Via), flags
			if !h.Via.IsValid() && r.Kind == row.RouteUnicast && family(r.Dst.Addr()) == unix.AF_INET {
				out.Scope = unix.RT_SCOPE_LINK
			}
			break
		}
		out.MultiPath = append(out.MultiPath, &netlink.NexthopInfo{LinkIndex: index, Gw: slice(h.Via), Flags: flags})
	}
	return out, nil
}

func metric(r row.Route) int {
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		return metric6
	}
	return int(r.Metric)
}

func kind(k row.RouteKind) int {
	switch k {
	case row.RouteUnicast:
		return unix.RTN_UNICAST
	case row.RouteLocal:
		return unix.RTN_LOCAL
	case row.RouteUnreachable:
		return unix.RTN_UNREACHABLE
	}
	return int(k)
}

// setRoute makes a route, or replaces the one of ours that is in its place.
func (d *Driver) setRoute(r row.Route, old *row.Linux) error {
	want, err := d.toRoute(r)
	if err != nil {
		return err
	}
	if r.Kind == row.RouteLocal {
		return d.setLocal(want, old)
	}
	if err := d.leave(r); err != nil {
		return err
	}
	if old == nil {
		if err = d.h.RouteAdd(want); !errors.Is(err, unix.EEXIST) {
			return explain(err)
		}
		if err := d.onlyOurs(want); err != nil {
			return err
		}
	}
	return explain(d.h.RouteReplace(want))
}

// gateways are the addresses of the bridge by their subnets, as the CNI plugin gave them.
func (d *Driver) gateways(index int) (map[netip.Prefix]netlink.Addr, error) {
	list, err := dumped(d.h.AddrList(nil, netlink.FAMILY_ALL))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	found := map[netip.Prefix]netlink.Addr{}
	for _, a := range list {
		if a.LinkIndex == index {
			found[prefix(a.IPNet).Masked()] = a
		}
	}
	return found, nil
}

// shadowed tells whether a route leads to where the bridge has a subnet, which the kernel takes to be near.
func shadowed(r row.Route, bridge map[netip.Prefix]netlink.Addr) bool {
	_, there := bridge[r.Dst]
	return there && r.Table == row.TableMain && r.Kind == row.RouteUnicast
}

// leave takes the bridge's address away from a range that this node has no more: no route leads to one that it has. The plugin, which
// gave the address, doesn't take it back, and the kernel's route to the subnet would stand in the way of ours.
func (d *Driver) leave(r row.Route) error {
	index, there := d.index[row.BridgeName]
	if !there || r.Table != row.TableMain || r.Kind != row.RouteUnicast || !d.near(r.Dst, index) {
		return nil
	}
	bridge, err := d.gateways(index)
	if err != nil || !shadowed(r, bridge) {
		return err
	}
	a := bridge[r.Dst]
	if err := d.h.AddrDel(nil, &a); err != nil && !gone(err) {
		return fmt.Errorf("remove address %s of %s, whose range is another's now: %w", a.IPNet, row.BridgeName, err)
	}
	return nil
}

// near asks the kernel where an address of a range is, which costs the same with many addresses on the node.
func (d *Driver) near(p netip.Prefix, index int) bool {
	list, err := d.h.RouteGetWithOptions(slice(p.Addr().Next()), &netlink.RouteGetOptions{FIBMatch: true})
	return err == nil && len(list) > 0 && list[0].LinkIndex == index
}

// onlyOurs checks that no route in the same place is somebody else's.
func (d *Driver) onlyOurs(want *netlink.Route) error {
	mask := netlink.RT_FILTER_TABLE | netlink.RT_FILTER_DST
	list, err := dumped(d.h.RouteListFiltered(want.Family, &netlink.Route{Table: want.Table, Dst: want.Dst}, mask))
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.Priority == want.Priority && r.Protocol != row.RouteProtocol {
			return row.Foreign{Taken: true, Err: fmt.Errorf("a route to the same destination is there, made by protocol %s; it stays", r.Protocol)}
		}
	}
	return nil
}

// setLocal puts a local route before the one that the kernel makes for the address itself, which has the same
// key and stays. NLM_F_CREATE alone does that in IPv4.
func (d *Driver) setLocal(want *netlink.Route, old *row.Linux) error {
	err := d.h.RouteAddEcmp(want)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil || old == nil {
		return explain(err)
	}
	if before, ok := (*old).(row.Route); ok {
		return d.removeRoute(before)
	}
	return nil
}

// explain says in words what the kernel means. Next hops and sources are what others say they are.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return row.Foreign{Err: fmt.Errorf("the next hop is in no subnet of a link that is up: %w", err)}
	case errors.Is(err, unix.ENETDOWN):
		return row.Foreign{Err: fmt.Errorf("the link is down: %w", err)}
	case errors.Is(err, unix.EINVAL):
		return row.Foreign{Err: fmt.Errorf("the kernel refuses the route (is the source an address of this node?): %w", err)}
	}
	return err
}

// removeRoute removes a route of ours; the protocol in the request keeps others' safe.
func (d *Driver) removeRoute(r row.Route) error {
	out := &netlink.Route{
		Family: family(r.Dst.Addr()), Table: int(r.Table), Dst: ipNet(r.Dst), Priority: metric(r),
		Protocol: row.RouteProtocol, Type: kind(r.Kind), Scope: unix.RT_SCOPE_NOWHERE,
	}
	if r.Kind == row.RouteLocal {
		out.Src = slice(r.Src)
	}
	if err := d.h.RouteDel(out); err != nil && !gone(err) {
		return fmt.Errorf("remove route: %w", err)
	}
	return nil
}
