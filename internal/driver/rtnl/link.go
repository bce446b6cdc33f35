package rtnl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

const (
	tunnelTTL     = 64 // RFC 1700; 0 would copy the inner packet's and hide the tunnel from traceroute
	encapGUE      = 2  // TUNNEL_ENCAP_GUE
	noEncapLimit  = 1  // IP6_TNL_F_IGN_ENCAP_LIMIT: no destination option, so the overhead is 40 bytes
	protoIPv4     = 4  // what is inside an ipip tunnel
	protoIPv6     = 41 // what is inside an ip6tnl tunnel
	pathDiscovery = 1  // outer packets are never fragmented
)

// link reads a link, if it is ours. One that is down gives a row without contents, since ours are up.
func (d *Driver) link(l netlink.Link) (row.Link, bool) {
	a := l.Attrs()
	r := row.Link{Name: a.Name, Kind: kindOf(l), MTU: a.MTU}
	if !row.LinkIsOurs(r.Name, r.Kind) {
		return row.Link{}, false
	}
	if a.Flags&net.FlagUp == 0 {
		return row.Link{Name: r.Name}, true
	}
	if d.free[r.Name] {
		r.MTU = 0
	}
	switch l := l.(type) {
	case *netlink.Vxlan:
		r.Local, r.VNI, r.Port = addr(l.SrcAddr), uint32(l.VxlanId), uint16(l.Port)
		copy(r.MAC[:], a.HardwareAddr)
	case *netlink.Iptun:
		r.Local, r.Remote = addr(l.Local), addr(l.Remote)
		r.Port = guePort(l.EncapType, l.EncapDport)
	case *netlink.Ip6tnl:
		r.Local, r.Remote = addr(l.Local), addr(l.Remote)
		r.Port = guePort(l.EncapType, l.EncapDport)
	}
	return r, true
}

// kindOf is the link's kind as the kernel names it; the library has another name for tun.
func kindOf(l netlink.Link) row.LinkKind {
	if t, ok := l.(*netlink.Tuntap); ok && t.Mode == netlink.TUNTAP_MODE_TUN {
		return row.LinkTun
	}
	return row.LinkKind(l.Type())
}

func guePort(typ, port uint16) uint16 {
	if typ != encapGUE {
		return 0
	}
	return port
}

// setLink makes a link, adapts it, or makes it anew when the kernel can't change what differs.
func (d *Driver) setLink(want row.Link) error {
	if !row.LinkIsOurs(want.Name, want.Kind) {
		return fmt.Errorf("a link of that name and of kind %s would not be recognised as ours", want.Kind)
	}
	if want.MTU == 0 {
		d.free[want.Name] = true
	} else {
		delete(d.free, want.Name)
	}
	l, err := d.h.LinkByName(want.Name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return d.addLink(want)
	}
	if err != nil {
		return err
	}
	if !row.LinkIsOurs(want.Name, kindOf(l)) {
		return row.Foreign{Err: fmt.Errorf("a link of that name and of kind %s is there, which is not ours", l.Type())}
	}
	if err = d.h.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if l, err = d.h.LinkByName(want.Name); err != nil {
		return err
	}
	have, _ := d.link(l)
	if !alike(have, want) {
		return d.renewLink(want)
	}
	return d.tune(l, have, want)
}

// alike compares what a link is born with.
func alike(a, b row.Link) bool {
	a.MTU, b.MTU, a.MAC, b.MAC = 0, 0, row.MAC{}, row.MAC{}
	return a == b
}

func (d *Driver) tune(l netlink.Link, have, want row.Link) error {
	if want.MTU > 0 && have.MTU != want.MTU {
		if err := d.h.LinkSetMTU(l, want.MTU); err != nil {
			return fmt.Errorf("set the MTU: %w", err)
		}
	}
	if want.MAC != (row.MAC{}) && have.MAC != want.MAC {
		if err := d.h.LinkSetHardwareAddr(l, want.MAC[:]); err != nil {
			return fmt.Errorf("set the MAC: %w", err)
		}
	}
	return nil
}

func (d *Driver) addLink(want row.Link) error {
	err := d.h.LinkAdd(toLink(want))
	if want.Kind == row.LinkTun && err == nil {
		err = d.raise(want)
	}
	if errors.Is(err, unix.EEXIST) {
		if err = d.clearTwin(want); err == nil {
			err = d.h.LinkAdd(toLink(want))
		}
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("this kernel has no links of kind %s: %w", want.Kind, err)
	}
	if err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	return d.learn()
}

// raise sets a link up that isn't made so.
func (d *Driver) raise(want row.Link) error {
	l, err := d.h.LinkByName(want.Name)
	if err == nil && want.MTU > 0 {
		err = d.h.LinkSetMTU(l, want.MTU)
	}
	if err == nil {
		err = d.h.LinkSetUp(l)
	}
	return err
}

// clearTwin removes a tunnel of ours with the same ends under another name: the kernel allows one, and the
// reference names it in another way. Somebody else's stays.
func (d *Driver) clearTwin(want row.Link) error {
	list, err := dumped(d.h.LinkList())
	if err != nil {
		return err
	}
	for _, l := range list {
		twin, ours := d.link(l)
		if ours && twin.Name != want.Name && twin.Kind == want.Kind && twin.Local == want.Local && twin.Remote == want.Remote {
			return d.removeLink(twin.Name)
		}
	}
	return fmt.Errorf("a link of somebody else's has the same ends or network identifier: %w", unix.EEXIST)
}

// renewLink replaces a link, and puts back the rows of ours that go with it.
func (d *Driver) renewLink(want row.Link) error {
	before, err := d.Dump(context.Background())
	if err != nil {
		return err
	}
	if err := d.removeLink(want.Name); err != nil {
		return err
	}
	if err := d.addLink(want); err != nil {
		return err
	}
	var errs []error
	var wire []change
	for _, r := range before {
		switch c := (change{Key: r.Key(), New: &r}); {
		case wires(c.Key.Kind) && want.Name == row.WireName:
			wire = append(wire, c)
		case uses(r, want.Name):
			errs = append(errs, d.set(c))
		}
	}
	failed := row.Failed[row.LinuxKey]{}
	if len(wire) > 0 {
		d.hand(context.Background(), wire, failed)
	}
	for _, err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// uses tells whether a row goes when a link goes.
func uses(r row.Linux, link string) bool {
	switch r := r.(type) {
	case row.Addr:
		return r.Dev == link
	case row.Neigh:
		return r.Dev == link
	case row.WireDevice, row.WirePeer, row.WireAllowed:
		return link == row.WireName
	case row.Route:
		for _, h := range r.Hops.List() {
			if h.Dev == link {
				return true
			}
		}
	}
	return false
}

func (d *Driver) removeLink(name string) error {
	l, err := d.h.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if !row.LinkIsOurs(name, kindOf(l)) {
		return nil
	}
	if err := d.h.LinkDel(l); err != nil && !gone(err) {
		return fmt.Errorf("remove link: %w", err)
	}
	return d.learn()
}

// toLink puts a link in the library's words.
func toLink(r row.Link) netlink.Link {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU, a.Flags = r.Name, r.MTU, net.FlagUp
	if r.MAC != (row.MAC{}) {
		a.HardwareAddr = r.MAC[:]
	}
	encap := uint16(0)
	if r.Port > 0 {
		encap = encapGUE
	}
	switch r.Kind {
	case row.LinkBridge:
		a.HardwareAddr = randomMAC()
		return &netlink.Bridge{LinkAttrs: a}
	case row.LinkVxlan:
		return &netlink.Vxlan{LinkAttrs: a, VxlanId: int(r.VNI), SrcAddr: slice(r.Local), Port: int(r.Port)}
	case row.LinkIPIP:
		return &netlink.Iptun{
			LinkAttrs: a, Local: slice(r.Local), Remote: slice(r.Remote), Ttl: tunnelTTL, PMtuDisc: pathDiscovery,
			Proto: protoIPv4, EncapType: encap, EncapDport: r.Port,
		}
	case row.LinkIP6Tnl:
		return &netlink.Ip6tnl{
			LinkAttrs: a, Local: slice(r.Local), Remote: slice(r.Remote), Ttl: tunnelTTL, Flags: noEncapLimit,
			Proto: protoIPv6, EncapType: encap, EncapDport: r.Port,
		}
	}
	if r.Kind == row.LinkTun {
		return &netlink.Tuntap{LinkAttrs: a, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	}
	return &netlink.GenericLink{LinkAttrs: a, LinkType: string(r.Kind)}
}

// randomMAC is a unicast, locally administered address. A bridge without one of its own takes the least of its
// ports', so that it would change, and pods' neighbour entries with it, as pods come and go.
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac)
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}
