package rtnl

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Look asks the kernel of this network namespace how a packet goes on that has come here, or begins here, from one address to another: the route that it matches,
// whoever made it, and the state of the neighbour that it goes to first, as ip-neighbour(8) calls it (empty: there is none yet); row.ErrNoRoute:
// there is none.
func Look(from, to netip.Addr) (r row.Route, neighbour string, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE) // whoever asks waits for nobody who writes
	if err != nil {
		return r, "", fmt.Errorf("open rtnetlink: %w", err)
	}
	defer h.Close()
	options := netlink.RouteGetOptions{SrcAddr: slice(from), FIBMatch: true}
	back, err := h.RouteGetWithOptions(slice(from), &netlink.RouteGetOptions{FIBMatch: true})
	if err == nil && len(back) > 0 && back[0].Type != unix.RTN_LOCAL {
		options.IifIndex = back[0].LinkIndex // it came by the link that leads to it
	}
	list, err := h.RouteGetWithOptions(slice(to), &options)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), err == nil && len(list) == 0:
		return r, "", row.ErrNoRoute
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL):
		return r, "", fmt.Errorf("%w that a packet from %s may take, by where it comes from (rp_filter, or a blackhole)", row.ErrNoRoute, from)
	case err != nil:
		return r, "", fmt.Errorf("ask for the route to %s: %w", to, err)
	}
	names := map[int]string{}
	for _, hop := range append(list[0].MultiPath, &netlink.NexthopInfo{LinkIndex: list[0].LinkIndex}) {
		if l, err := h.LinkByIndex(hop.LinkIndex); err == nil {
			names[hop.LinkIndex] = l.Attrs().Name
		}
	}
	r = fromRoute(list[0], family(to), names)
	if r.Kind == row.RouteUnreachable {
		return r, "", row.ErrNoRoute
	}
	first := to
	if hops := r.Hops.List(); len(hops) > 0 && hops[0].Via.IsValid() {
		first = hops[0].Via
	}
	return r, neighbourAt(h, list[0].LinkIndex, first), nil
}

func neighbourAt(h *netlink.Handle, link int, at netip.Addr) string {
	list, err := dumped(h.NeighList(link, family(at)))
	if err != nil {
		return ""
	}
	for _, n := range list {
		if addr(n.IP) == at {
			return map[int]string{
				unix.NUD_INCOMPLETE: "INCOMPLETE", unix.NUD_REACHABLE: "REACHABLE", unix.NUD_STALE: "STALE", unix.NUD_DELAY: "DELAY",
				unix.NUD_PROBE: "PROBE", unix.NUD_FAILED: "FAILED", unix.NUD_PERMANENT: "PERMANENT",
			}[n.State]
		}
	}
	return ""
}
