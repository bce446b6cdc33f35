package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/model"
)

// bridge is the bridge that pods hang on; its ports are the pods' links.
const bridge = "kube-bridge"

// read takes the links that matter, by name. A dump that the kernel calls interrupted (NLM_F_DUMP_INTR)
// is taken again.
func read(ctx context.Context, h *netlink.Handle) (map[string]*model.Link, error) {
	for {
		all, err := h.LinkList()
		var addrs []netlink.Addr
		if err == nil {
			addrs, err = h.AddrList(nil, netlink.FAMILY_ALL)
		}
		switch {
		case err == nil:
			return convert(all, addrs), nil
		case !errors.Is(err, netlink.ErrDumpInterrupted):
			return nil, fmt.Errorf("read links and addresses: %w", err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

// convert makes model values of what the kernel says.
func convert(all []netlink.Link, addrs []netlink.Addr) map[string]*model.Link {
	of := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := prefix(a); ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	pods := 0
	for _, l := range all {
		if l.Attrs().Name == bridge {
			pods = l.Attrs().Index
		}
	}
	links := map[string]*model.Link{}
	for _, l := range all {
		a := l.Attrs()
		list := of[a.Index]
		if ours(a.Name) || pods != 0 && a.MasterIndex == pods || l.Type() == "veth" && !reachable(list) {
			continue
		}
		// The order of a dump is the order of being added; sorted, the same addresses are the same value.
		slices.SortFunc(list, netip.Prefix.Compare)
		links[a.Name] = &model.Link{
			Name: a.Name, Index: a.Index, Kind: l.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Addrs: list,
		}
	}
	return links
}

// ours tells the names of links that this program makes. They need no memory to be recognised.
func ours(name string) bool {
	return name == bridge || name == "kube-dummy-if" || name == "kube-wg" ||
		strings.HasPrefix(name, "tun-") || strings.HasPrefix(name, "kube-vxlan")
}

// reachable tells whether a link has an address that others know. A veth without one is the outer end of
// a pod's link: it may not hang on the bridge yet, and is gone from the model before it could matter.
func reachable(addrs []netip.Prefix) bool {
	return slices.ContainsFunc(addrs, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
}

// prefix takes an address with its length, unless another host has it (IPv6 duplicate detection, RFC 4862).
func prefix(a netlink.Addr) (netip.Prefix, bool) {
	if a.IPNet == nil || a.Flags&unix.IFA_F_DADFAILED != 0 {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, bits := a.Mask.Size()
	addr = addr.Unmap()
	if bits == 128 && addr.Is4() {
		ones -= 96
	}
	return netip.PrefixFrom(addr, ones), true
}
