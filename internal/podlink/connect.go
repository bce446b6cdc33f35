package podlink

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Cable is what was made of a pod's network.
type Cable struct {
	Bridge    string
	BridgeMAC net.HardwareAddr
	Link      string // the end on the node
	LinkMAC   net.HardwareAddr
	MAC       net.HardwareAddr // of the pod's end
}

// addrGenNone has the kernel make no address of its own for a link (IN6_ADDR_GEN_MODE_NONE): nobody talks to a port of a bridge.
const addrGenNone = 1

// Connect makes the cable between a network namespace and the bridge, and what is set inside. It may leave things half done behind an
// error; Disconnect takes them away.
func Connect(o Owner, path string, c Conf, given []Address) (Cable, error) {
	ns, err := foreign(path)
	if err != nil {
		return Cable{}, err
	}
	defer ns.Close()
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Cable{}, err
	}
	defer here.Close()
	br, err := bridge(here, c, given)
	if err != nil {
		return Cable{}, err
	}
	w, err := plug(here, o, ns, c, br)
	if err != nil {
		return Cable{}, err
	}
	if err := inside(ns, o.Ifname, c, given); err != nil {
		return Cable{}, fmt.Errorf("set up %s in the pod: %w", o.Ifname, err)
	}
	return w, nil
}

// plug makes the pair and puts our end into the bridge. One of the same name is of an ADD that was killed.
func plug(here *netlink.Handle, o Owner, ns netns.NsHandle, c Conf, br netlink.Link) (Cable, error) {
	w := Cable{Bridge: c.Bridge, BridgeMAC: br.Attrs().HardwareAddr, Link: o.Link(), LinkMAC: mac(), MAC: mac()}
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: o.Ifname, PeerHardwareAddr: w.MAC, PeerNamespace: netlink.NsFd(ns)}
	pair.Name, pair.HardwareAddr, pair.MTU = w.Link, w.LinkMAC, c.MTU
	if pair.MTU == 0 {
		pair.MTU = br.Attrs().MTU
	}
	err := here.LinkAdd(pair)
	if errors.Is(err, unix.EEXIST) {
		if err = remove(here, w.Link); err == nil {
			err = here.LinkAdd(pair)
		}
	}
	if err != nil {
		return w, fmt.Errorf("make %s with %s in the pod: %w", w.Link, o.Ifname, err)
	}
	if err := here.LinkSetIP6AddrGenMode(pair, addrGenNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return w, fmt.Errorf("%s: no address of its own: %w", w.Link, err)
	}
	if err := here.LinkSetMasterByIndex(pair, br.Attrs().Index); err != nil {
		return w, fmt.Errorf("put %s into %s: %w", w.Link, c.Bridge, err)
	}
	if c.Hairpin {
		if err := here.LinkSetHairpin(pair, true); err != nil {
			return w, fmt.Errorf("hairpin mode of %s: %w", w.Link, err)
		}
	}
	if err := here.LinkSetUp(pair); err != nil {
		return w, fmt.Errorf("set %s up: %w", w.Link, err)
	}
	return w, nil
}

// mac is a random Ethernet address: unicast, locally administered (IEEE 802, section 8.4).
func mac() net.HardwareAddr {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails
	b[0] = b[0]&^1 | 2
	return b
}

// inside sets up the pod's end.
func inside(ns netns.NsHandle, ifname string, c Conf, given []Address) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := in(ns, func() error { return settings(ifname, given) }); err != nil {
		return err
	}
	link, err := h.LinkByName(ifname)
	if err != nil {
		return err
	}
	for _, g := range given {
		if err := h.AddrAdd(link, address(g.Prefix)); err != nil {
			return fmt.Errorf("address %s: %w", g.Prefix, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	for _, r := range Routes(c, given) {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: r.Via.AsSlice(), Dst: network(r.To)}
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("route to %s by %s: %w", r.To, r.Via, err)
		}
	}
	return nil
}

// settings are those of the pod's own. It listens to no router advertisements, nor do interfaces that it may get later: its routes are
// those that it is given, and whoever else shares the link could give it others. And its addresses are its own without asking around.
func settings(ifname string, given []Address) error {
	if err := Deaf(ifname); err != nil {
		return err
	}
	for _, g := range given {
		if g.Prefix.Addr().Is6() {
			conf := "net/ipv6/conf/" + ifname
			return errors.Join(set(conf+"/disable_ipv6", "0"), set(conf+"/accept_dad", "0"))
		}
	}
	return nil
}

// Deaf makes an interface of the thread's network namespace, and those that it may get later, not listen to router advertisements.
func Deaf(ifname string) error {
	return errors.Join(set("net/ipv6/conf/default/accept_ra", "0"), set("net/ipv6/conf/"+ifname+"/accept_ra", "0"))
}

// Routes are a pod's: a default one of each family, and those of the configuration whose gateway the pod reaches.
func Routes(c Conf, given []Address) []Route {
	var list []Route
	for _, g := range given {
		list = append(list, Route{netip.PrefixFrom(unspecified(g.Gateway), 0), g.Gateway})
		for _, r := range c.Routes {
			if r.To.Addr().Is4() != g.Gateway.Is4() || r.To.Bits() == 0 {
				continue
			}
			if !r.Via.IsValid() {
				r.Via = g.Gateway
			}
			list = append(list, r)
		}
	}
	return list
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Disconnect takes away the cable of an owner, and what its bandwidth was limited by. What isn't there is no error.
func Disconnect(o Owner) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return errors.Join(remove(h, o.Link()), remove(h, o.limiter()))
}

// Unplug takes the interface out of a network namespace, whoever made it. A namespace that is gone has taken it along; the node's own
// is none of a pod's.
func Unplug(path, ifname string) error {
	ns, err := foreign(path)
	if err != nil {
		return nil
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return remove(h, ifname)
}

func remove(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// linked tells whether an owner's cable is there.
func linked(o Owner) (bool, error) {
	_, err := netlink.LinkByName(o.Link())
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return false, nil
	}
	return err == nil, err
}

// Check tells what is missing of a pod's network: its interface with the addresses and a way out for each family, and the end on the node.
func Check(path, ifname, link string, addrs []netip.Addr) error {
	ns, err := foreign(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("interface %s of the pod: %w", ifname, err)
	}
	list, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return err
	}
	has := map[netip.Addr]bool{}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			has[addr.Unmap()] = true
		}
	}
	for _, a := range addrs {
		if !has[a] {
			return fmt.Errorf("interface %s of the pod lacks address %s", ifname, a)
		}
		if out, err := h.RouteListFiltered(family(a), &netlink.Route{LinkIndex: l.Attrs().Index, Dst: network(netip.PrefixFrom(unspecified(a), 0))},
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST); err == nil && len(out) == 0 {
			return fmt.Errorf("the pod has no default route for %s", a)
		}
	}
	if link == "" {
		return nil
	}
	if end, err := netlink.LinkByName(link); err != nil {
		return fmt.Errorf("the node's end of the pod's cable, %s: %w", link, err)
	} else if end.Attrs().MasterIndex == 0 {
		return fmt.Errorf("the node's end of the pod's cable, %s, is in no bridge", link)
	}
	return nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
