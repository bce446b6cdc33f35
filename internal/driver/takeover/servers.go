package takeover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"

	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// findServers finds the virtual servers of kube-proxy's IPVS mode: those at an address of its link that is not
// on ours too. Where it left no link there is nothing to tell its servers by, and IPVS is not even asked,
// for asking loads it.
func (d *Driver) findServers() ([]row.Leftover, error) {
	theirs, err := d.addresses(proxyLink)
	if err != nil || len(theirs) == 0 || !d.safe("ip_vs") {
		return nil, err
	}
	ours, err := d.addresses(ourLink)
	if err != nil {
		return nil, err
	}
	var found []row.Leftover
	err = d.servers(func(_ *ipvs.Handle, s *ipvs.Service) error {
		a, ok := netip.AddrFromSlice(s.Address)
		if a = a.Unmap(); ok && theirs[a] && !ours[a] {
			found = append(found, row.Leftover{Kind: row.LeftoverServer, V6: a.Is6(), Of: kubeProxy, Name: serverName(s)})
		}
		return nil
	})
	return found, err
}

// serverName prints a virtual server as ipvsadm takes it.
func serverName(s *ipvs.Service) string {
	flag := map[uint16]string{unix.IPPROTO_TCP: "-t ", unix.IPPROTO_UDP: "-u ", unix.IPPROTO_SCTP: "--sctp-service "}[s.Protocol]
	return flag + net.JoinHostPort(s.Address.String(), strconv.Itoa(int(s.Port)))
}

// removeServer deletes a virtual server once its last connection has ended: new ones come to us before they
// could come to it.
func (d *Driver) removeServer(name string) error {
	return d.servers(func(h *ipvs.Handle, s *ipvs.Service) error {
		if serverName(s) != name {
			return nil
		}
		dests, err := h.GetDestinations(s)
		if err != nil {
			return fmt.Errorf("list destinations of %s: %w", name, err)
		}
		active := 0
		for _, to := range dests {
			active += to.ActiveConnections
		}
		if active > 0 {
			return row.Later{Reason: fmt.Sprintf("%d connections", active)}
		}
		return h.DelService(s)
	})
}

// servers calls f for each virtual server. A kernel without IPVS has none.
func (d *Driver) servers(f func(*ipvs.Handle, *ipvs.Service) error) error {
	return d.inside(func() error {
		h, err := ipvs.New("")
		if err != nil {
			if absent(err) {
				return nil
			}
			return fmt.Errorf("open IPVS: %w", err)
		}
		defer h.Close()
		list, err := h.GetServices()
		if err != nil {
			return fmt.Errorf("list IPVS: %w", err)
		}
		for _, s := range list {
			if err := f(h, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// addresses are those of a link; one that is not there has none.
func (d *Driver) addresses(link string) (map[netip.Addr]bool, error) {
	l, err := d.link.LinkByName(link)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := d.link.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", link, err)
	}
	all := map[netip.Addr]bool{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			all[ip.Unmap()] = true
		}
	}
	return all, nil
}

// inside runs f on a thread in the driver's namespace.
func (d *Driver) inside(f func() error) error {
	if d.ns <= 0 {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		if err := netns.Set(d.ns); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
