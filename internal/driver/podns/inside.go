package podns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// inside is an open network namespace of a pod.
type inside struct {
	*netlink.Handle
	ns netns.NsHandle
}

func open(path string) (*inside, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, err
	}
	return &inside{h, ns}, nil
}

func (in *inside) close() {
	in.Handle.Close()
	in.ns.Close()
}

// addrs are the addresses of the namespace: our own links', and all others'.
func (in *inside) addrs() (vips, others []netip.Addr, err error) {
	links, err := dumped(in.LinkList())
	if err != nil {
		return nil, nil, err
	}
	ours := map[int]bool{}
	for _, l := range links {
		ours[l.Attrs().Index] = l.Attrs().Name == row.PodTunnelName || l.Attrs().Name == row.PodTunnel6Name
	}
	list, err := dumped(in.AddrList(nil, netlink.FAMILY_ALL))
	if err != nil {
		return nil, nil, err
	}
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		switch {
		case !ok || addr.IsLoopback() || addr.IsLinkLocalUnicast():
		case ours[a.LinkIndex]:
			vips = append(vips, addr)
		default:
			others = append(others, addr)
		}
	}
	return vips, others, nil
}

func (in *inside) has(a netip.Addr) bool {
	_, others, err := in.addrs()
	return err == nil && slices.Contains(others, a)
}

// dumped takes an interrupted dump for good: what changed meanwhile is found the next time.
func dumped[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return list, err
}

// add makes the tunnel link, unless it is there, and puts the address on it.
func (in *inside) add(r row.PodVIP) error {
	link, err := in.LinkByName(r.Link())
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		link = tunnel(r)
		err = in.LinkAdd(link)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", r.Link(), err)
	}
	if err := in.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", r.Link(), err)
	}
	// The way back to a client is not the tunnel; a strict check would drop what comes out of it.
	if r.VIP.Is4() {
		if err := in.do(func() error { return unfiltered(r.Link()) }); err != nil {
			return err
		}
	}
	if err := in.AddrReplace(link, &netlink.Addr{IPNet: single(r.VIP), Flags: flags(r.VIP)}); err != nil {
		return fmt.Errorf("put %s on %s: %w", r.VIP, r.Link(), err)
	}
	return nil
}

// flags: there is no duplicate to detect on a tunnel, and the address is on many pods on purpose.
func flags(a netip.Addr) int {
	if a.Is6() {
		return unix.IFA_F_NODAD
	}
	return 0
}

// tunnel is a link that unpacks what comes to the pod's own address from anywhere.
func tunnel(r row.PodVIP) netlink.Link {
	attrs := netlink.LinkAttrs{Name: r.Link()}
	if r.VIP.Is6() {
		return &netlink.Ip6tnl{LinkAttrs: attrs, Local: r.Addr.AsSlice(), Remote: net.IPv6zero, Proto: unix.IPPROTO_IPV6}
	}
	return &netlink.Iptun{LinkAttrs: attrs, Local: r.Addr.AsSlice(), Remote: net.IPv4zero, PMtuDisc: 1}
}

// remove takes the address off, and the link when it was the last.
func (in *inside) remove(r row.PodVIP) error {
	link, err := in.LinkByName(r.Link())
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = in.AddrDel(link, &netlink.Addr{IPNet: single(r.VIP)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("take %s off %s: %w", r.VIP, r.Link(), err)
	}
	vips, _, err := in.addrs()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(vips, func(a netip.Addr) bool { return a.Is6() == r.VIP.Is6() }) {
		return in.LinkDel(link)
	}
	return nil
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// unfiltered turns the check of the way back (RFC 3704) off for a link. The kernel takes the stricter of the
// link's setting and that of all.
func unfiltered(link string) error {
	for _, dev := range []string{"all", link} {
		err := os.WriteFile("/proc/sys/net/ipv4/conf/"+dev+"/rp_filter", []byte("0"), 0o644)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// do runs f on a thread in the namespace, since /proc/sys/net shows the reader's own.
func (in *inside) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and nobody else meets it
		err := netns.Set(in.ns)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
