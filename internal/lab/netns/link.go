package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one end of a cable: a link of that name in that namespace, with its addresses.
type End struct {
	Space *Space
	Name  string
	Addrs []netip.Prefix
}

// with gives f a netlink handle in the namespace.
func (s *Space) with(f func(*netlink.Handle) error) error {
	return s.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		defer h.Close()
		return f(h)
	})
}

// Cable joins two namespaces with a veth pair of that MTU and brings both ends up.
func Cable(mtu int, a, b End) error {
	err := a.Space.with(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = a.Name, mtu
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: b.Name, PeerNamespace: netlink.NsFd(b.Space.Fd()), PeerMTU: uint32(mtu)}
		if err := h.LinkAdd(veth); err != nil {
			return fmt.Errorf("cable %s - %s: %w", a.Name, b.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, end := range []End{a, b} {
		if err := end.up(); err != nil {
			return err
		}
	}
	return errors.Join(a.running(), b.running())
}

// running waits until the kernel lets packets through. A link that is up drops them until the kernel's own notice of its carrier is
// worked off, which it does not hurry with (net/core/link_watch.c).
func (e End) running() error {
	return e.Space.with(func(h *netlink.Handle) error {
		for range 400 {
			link, err := h.LinkByName(e.Name)
			if err != nil {
				return fmt.Errorf("link %s: %w", e.Name, err)
			}
			if link.Attrs().OperState == netlink.OperUp {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		return fmt.Errorf("link %s has no carrier", e.Name)
	})
}

// Bridge makes a switch in the namespace, with addresses of its own if the namespace is to route for it.
func Bridge(mtu int, e End) error {
	err := e.Space.with(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = e.Name, mtu
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("bridge %s: %w", e.Name, err)
		}
		// A bridge takes the least address of its ports, unless it was given one: with each new port hosts might
		// know a router's address no more.
		link, err := h.LinkByName(e.Name)
		if err == nil {
			err = h.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr)
		}
		if err != nil {
			return fmt.Errorf("address of bridge %s: %w", e.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.up()
}

func (e End) up() error {
	return e.Space.with(func(h *netlink.Handle) error {
		link, err := h.LinkByName(e.Name)
		if err != nil {
			return fmt.Errorf("link %s: %w", e.Name, err)
		}
		for _, p := range e.Addrs {
			addr := &netlink.Addr{IPNet: ipNet(p)}
			if p.Addr().Is6() {
				addr.Flags = unix.IFA_F_NODAD // a lab's addresses are unique: usable at once (RFC 4862, section 5.4)
			}
			if err := h.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("address %s on %s: %w", p, e.Name, err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("link %s up: %w", e.Name, err)
		}
		return nil
	})
}

// Enslave makes a link a port of a bridge in the same namespace.
func (s *Space) Enslave(port, bridge string) error {
	return s.with(func(h *netlink.Handle) error {
		link, err := h.LinkByName(port)
		if err != nil {
			return fmt.Errorf("link %s: %w", port, err)
		}
		master, err := h.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("bridge %s: %w", bridge, err)
		}
		if err := h.LinkSetMaster(link, master); err != nil {
			return fmt.Errorf("port %s of %s: %w", port, bridge, err)
		}
		return nil
	})
}

// SetLink brings a link up or down: a cable plugged or pulled.
func (s *Space) SetLink(name string, up bool) error {
	return s.with(func(h *netlink.Handle) error {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if up {
			return h.LinkSetUp(link)
		}
		return h.LinkSetDown(link)
	})
}

// Route adds a route through a gateway.
func (s *Space) Route(to netip.Prefix, via netip.Addr) error {
	return s.with(func(h *netlink.Handle) error {
		if err := h.RouteReplace(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
			return fmt.Errorf("route %s via %s: %w", to, via, err)
		}
		return nil
	})
}

// Sysctl sets kernel parameters of the namespace, "net.ipv4.ip_forward=1" each. It reads the caller's /proc, which shows the
// network namespace of the thread that looks.
func (s *Space) Sysctl(settings ...string) error {
	return s.Do(func() error {
		for _, setting := range settings {
			name, value, _ := strings.Cut(setting, "=")
			path := "/proc/thread-self/root/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return fmt.Errorf("sysctl %s: %w", setting, err)
			}
		}
		return nil
	})
}

// Prepare makes a fresh namespace usable: loopback up, IPv6 addresses valid at once, no router advertisement heard, and nothing
// forwarded, whatever the host namespace would have it inherit.
func (s *Space) Prepare() error {
	err := s.Sysctl(
		"net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
		"net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0",
		"net.ipv4.ip_forward=0")
	if err != nil {
		return err
	}
	return End{Space: s, Name: "lo"}.up()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
