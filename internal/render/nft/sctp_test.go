//go:build guest

package nft

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/intent"
	"kube-router/internal/lab/probe"
)

// SCTP has packets where the kernel has its sockets: in the guest.
//
//	go test -tags guest -exec "$PWD/test/guest/run" -run SCTP ./internal/render/nft

// sctp opens a one-to-one style socket (RFC 6458, 4) whose calls end after a second, or with EINTR at a signal.
func sctp(a netip.Addr) (int, error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, fmt.Errorf("opening an SCTP socket: %w", err)
	}
	second := unix.NsecToTimeval(int64(time.Second))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &second)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second)
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// serveSCTP answers associations with the host's name and the client's address.
func (h *host) serveSCTP(port int) {
	h.Helper()
	for _, a := range h.addr {
		h.within(h.ns, func() {
			fd, err := sctp(a)
			h.must(err)
			h.must(unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, uint16(port)))))
			h.must(unix.Listen(fd, 64))
			stop := make(chan struct{})
			h.Cleanup(func() { close(stop) })
			go h.acceptSCTP(fd, stop)
		})
	}
}

func (h *host) acceptSCTP(fd int, stop chan struct{}) {
	defer unix.Close(fd)
	for {
		c, from, err := unix.Accept(fd)
		select {
		case <-stop:
			return
		default:
		}
		if err != nil {
			continue // a second without a client
		}
		var saw netip.Addr
		switch from := from.(type) {
		case *unix.SockaddrInet4:
			saw = netip.AddrFrom4(from.Addr)
		case *unix.SockaddrInet6:
			saw = netip.AddrFrom16(from.Addr)
		}
		unix.Write(c, fmt.Appendf(nil, "%s %s", h.name, saw))
		unix.Close(c)
	}
}

func (h *host) askSCTP(f intent.Front) (a answer, err error) {
	h.within(h.ns, func() {
		deadline := time.Now().Add(5 * time.Second)
		var c net.Conn
		if c, err = probe.DialSCTP(netip.AddrPort{}, netip.AddrPortFrom(f.Addr, f.Port), deadline); err != nil {
			return
		}
		defer c.Close()
		b, n := make([]byte, 64), 0
		h.must(c.SetDeadline(deadline))
		if n, err = c.Read(b); err == nil {
			_, err = fmt.Sscanf(string(b[:n]), "%s %s", &a.by, &a.saw)
		}
	})
	return a, err
}

func TestPacketsSCTP(t *testing.T) {
	c := newCast(t)
	for _, p := range c.pods {
		p.serveSCTP(web)
	}
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			c.TB = t
			cluster := &intent.Service{Front: vip(family, 132), Backends: at(family, c.pods[1:]...)}
			port := &intent.Service{Front: c.nodePort(family, 132), Kind: intent.NodeFront, Backends: at(family, c.pods[1])}
			c.want(cluster, port)
			count := map[string]int{}
			for range 60 {
				a, err := c.pods[0].askSCTP(cluster.Front)
				c.must(err)
				if count[a.by]++; a.saw != c.pods[0].addr[family].String() {
					t.Errorf("%s saw %s; want the pod's own address", a.by, a.saw)
				}
			}
			if len(count) != 3 {
				t.Errorf("answers: %v; want some from each of three", count)
			}
			gateway := []string{"169.254.1.1", "fd00:ffff::1"}[family]
			if a, err := c.outside.askSCTP(port.Front); err != nil || a != (answer{"b", gateway}) {
				t.Errorf("outside to the node port: %v, %v", a, err)
			}
			if a, err := c.pods[1].askSCTP(cluster.Front); err != nil {
				t.Errorf("a pod to a Service of its own: %v, %v", a, err)
			}
		})
	}
}
