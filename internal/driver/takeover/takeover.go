package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	mdl "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Driver finds and removes leftovers in one network namespace.
type Driver struct {
	ns   netns.NsHandle
	link *netlink.Handle // links and ipsets
	safe func(module string) bool
}

// change is a change of one leftover.
type change = row.Change[row.Leftover, row.Leftover]

// New makes the driver for a network namespace (netns.None: the current one). safe is true for a kernel module whose use
// loads nothing: without the module there is nothing of its kind, so the others are not asked. nil: all may be loaded.
func New(ns netns.NsHandle, safe func(module string) bool) (*Driver, error) {
	if safe == nil {
		safe = func(string) bool { return true }
	}
	families := []int{unix.NETLINK_ROUTE}
	if safe("nfnetlink") {
		families = append(families, unix.NETLINK_NETFILTER)
	}
	h, err := netlink.NewHandleAt(ns, families...)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Driver{ns: ns, link: h, safe: safe}, nil
}

// Close closes the driver's sockets.
func (d *Driver) Close() { d.link.Close() }

// nft opens a connection for one transaction, with room for tens of thousands of chains.
func (d *Driver) nft() (*nftables.Conn, error) {
	options := []nftables.ConnOption{nftables.WithSockOptions(func(c *mdl.Conn) error {
		return errors.Join(c.SetWriteBuffer(64<<20), c.SetReadBuffer(64<<20))
	})}
	if d.ns > 0 {
		options = append(options, nftables.WithNetNSFd(int(d.ns)))
	}
	return nftables.New(options...)
}

// Dump finds all leftovers.
func (d *Driver) Dump(context.Context) (map[row.Leftover]row.Leftover, error) {
	found := map[row.Leftover]row.Leftover{}
	for _, look := range []func() ([]row.Leftover, error){d.findRules, d.findSets, d.findServers, d.findLinks, d.findLookups, d.findLegacy} {
		list, err := look()
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			found[l] = l
		}
	}
	return found, nil
}

// Apply removes leftovers in the order of their kinds. All of one table of iptables go in one transaction, so
// that no packet meets half of them.
func (d *Driver) Apply(_ context.Context, changes []change) error {
	var gone []row.Leftover
	for _, c := range changes {
		if c.New != nil {
			return fmt.Errorf("a leftover is never made: %s", *c.New)
		}
		gone = append(gone, c.Key)
	}
	slices.SortFunc(gone, func(a, b row.Leftover) int { return cmp.Compare(a.Kind, b.Kind) })
	failed := row.Failed[row.Leftover]{}
	d.removeRules(gone, failed)
	for _, l := range gone {
		var err error
		switch l.Kind {
		case row.LeftoverTable:
			err = d.removeTable(l)
		case row.LeftoverLegacy:
			err = errLegacy
		case row.LeftoverSet:
			err = d.removeSet(l.Name)
		case row.LeftoverServer:
			err = d.removeServer(l.Name)
		case row.LeftoverLookup:
			err = d.removeLookup(l)
		case row.LeftoverLink:
			err = d.removeLink(l.Name)
		}
		if err != nil {
			failed[l] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// errLegacy tells what to do where we can't.
var errLegacy = errors.New("made by iptables-legacy, which has no netlink: remove it with " +
	"`iptables-legacy-save | grep -v KUBE- | iptables-legacy-restore` (and ip6tables-legacy), or restart the node")

// removeLink removes kube-proxy's link after the last server on it: its addresses bring the packets of
// connections that go on through IPVS. A server may be waited for in another call than this one.
func (d *Driver) removeLink(name string) error {
	if servers, err := d.findServers(); err != nil || len(servers) > 0 {
		return errors.Join(err, row.Later{Reason: fmt.Sprintf("%d servers on %s", len(servers), name)})
	}
	l, err := d.link.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.link.LinkDel(l)
}

func (d *Driver) findLinks() ([]row.Leftover, error) {
	_, err := d.link.LinkByName(proxyLink)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	return []row.Leftover{{Kind: row.LeftoverLink, Of: kubeProxy, Name: proxyLink}}, err
}
