package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/model"
)

// What an earlier life wrote into the kernel: its routes' protocol number, and the table of what pods send
// to other nodes, which has a route to each node behind a tunnel.
const (
	ourProtocol = 17
	podsTable   = 77
)

// KernelRoutes are the routes of ours in the kernel as the paths that they were made of. Whether a router
// outside taught them the kernel doesn't know; they count as such.
func KernelRoutes(ns netns.NsHandle) ([]*model.Path, error) {
	h, err := handle(ns)
	if err != nil {
		return nil, fmt.Errorf("open the kernel's routes: %w", err)
	}
	defer h.Close()
	tunnels, err := ours(h, podsTable)
	if err != nil {
		return nil, err
	}
	behind := map[via]netip.Addr{}
	wire := wireLink(h)
	for _, r := range tunnels {
		if p, ok := prefix(r); ok && p.IsSingleIP() {
			for _, v := range hops(r) {
				behind[v] = p.Addr()
			}
		}
	}
	routes, err := ours(h, unix.RT_TABLE_MAIN)
	var paths []*model.Path
	for _, r := range routes {
		p, ok := prefix(r)
		path := &model.Path{Prefix: p, External: true, Kept: true}
		for _, v := range hops(r) {
			if v.link == wire && !v.gw.IsValid() {
				path.Sealed = true
			} else if node, tunnel := behind[v]; tunnel {
				path.NextHops = append(path.NextHops, node)
			} else if v.gw.IsValid() {
				path.NextHops = append(path.NextHops, v.gw)
			}
		}
		if ok && (len(path.NextHops) > 0 || path.Sealed) {
			slices.SortFunc(path.NextHops, netip.Addr.Compare)
			paths = append(paths, path)
		}
	}
	return paths, err
}

// wireLink is the link of WireGuard, which leads to all nodes; -1: there is none.
func wireLink(h *netlink.Handle) int {
	l, err := h.LinkByName("kube-wg")
	if err != nil {
		return -1
	}
	return l.Attrs().Index
}

func handle(ns netns.NsHandle) (*netlink.Handle, error) {
	if ns == netns.None() {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

// ours are our unicast routes in a table. A dump that the kernel calls interrupted is taken again.
func ours(h *netlink.Handle, table int) ([]netlink.Route, error) {
	filter := &netlink.Route{Table: table, Protocol: ourProtocol, Type: unix.RTN_UNICAST}
	mask := netlink.RT_FILTER_TABLE | netlink.RT_FILTER_PROTOCOL | netlink.RT_FILTER_TYPE
	for {
		list, err := h.RouteListFiltered(netlink.FAMILY_ALL, filter, mask)
		if err == nil || !errors.Is(err, netlink.ErrDumpInterrupted) {
			if err != nil {
				err = fmt.Errorf("read our routes in table %d: %w", table, err)
			}
			return list, err
		}
	}
}

// via is one way of a route.
type via struct {
	link int
	gw   netip.Addr
}

func hops(r netlink.Route) []via {
	addr := func(ip []byte) netip.Addr {
		a, _ := netip.AddrFromSlice(ip)
		return a.Unmap()
	}
	if len(r.MultiPath) == 0 {
		return []via{{r.LinkIndex, addr(r.Gw)}}
	}
	var list []via
	for _, n := range r.MultiPath {
		list = append(list, via{n.LinkIndex, addr(n.Gw)})
	}
	return list
}

func prefix(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}
