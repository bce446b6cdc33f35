package podlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridge finds the bridge that pods hang on, or makes it, and gives it the gateways' addresses. The daemon makes it with the MTU that it
// should have; the addresses are ours to give, as they are the bridge plugin's in a chain.
func bridge(h *netlink.Handle, c Conf, gateways []Address) (netlink.Link, error) {
	link, err := h.LinkByName(c.Bridge)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		link, err = makeBridge(h, c)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("link %s is there and no bridge", c.Bridge)
	}
	have, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("addresses of %s: %w", c.Bridge, err)
	}
	for _, g := range gateways {
		if err := gateway(h, c, link, have, g); err != nil {
			return nil, fmt.Errorf("gateway %s on %s: %w", g.Gateway, c.Bridge, err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("set %s up: %w", c.Bridge, err)
		}
	}
	return link, nil
}

func makeBridge(h *netlink.Handle, c Conf) (netlink.Link, error) {
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	br.Name, br.MTU = c.Bridge, c.MTU
	if err := h.LinkAdd(br); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	// A pod that advertises itself as a router must not be heard by the node (CVE-2020-10749).
	if err := set("net/ipv6/conf/"+c.Bridge+"/accept_ra", "0"); err != nil {
		return nil, err
	}
	return h.LinkByName(c.Bridge)
}

// gateway puts the gateway's address on the bridge, unless it is there. Another IPv4 address, or an IPv6 one whose subnet overlaps, is of
// a range that the node had before.
func gateway(h *netlink.Handle, c Conf, link netlink.Link, have []netlink.Addr, g Address) error {
	want := netip.PrefixFrom(g.Gateway, g.Prefix.Bits())
	for i := range have {
		a, ok := netip.AddrFromSlice(have[i].IP)
		ones, _ := have[i].Mask.Size()
		p := netip.PrefixFrom(a.Unmap(), ones)
		switch {
		case !ok || a.Unmap().Is4() != want.Addr().Is4() || a.IsLinkLocalUnicast():
		case p == want:
			return nil
		case want.Addr().Is4() || p.Masked().Overlaps(want.Masked()):
			if !c.Force {
				return fmt.Errorf("the bridge has %s, and forceAddress is not set", p)
			}
			if err := h.AddrDel(link, &have[i]); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return err
			}
		}
	}
	if want.Addr().Is6() {
		if err := set("net/ipv6/conf/"+c.Bridge+"/disable_ipv6", "0"); err != nil {
			return err
		}
	}
	if err := h.AddrReplace(link, address(want)); err != nil {
		return err
	}
	// Until it is set, a bridge's Ethernet address follows its ports', and pods would have to learn it again and again.
	return h.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr)
}

// address is one that is usable at once: who gives addresses knows that nobody else has it.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// set writes a setting of the thread's network namespace. One that isn't there, as without IPv6, is none that matters.
func set(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
