package nft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// world is one node in a network namespace with hosts around it, each in a namespace of its own behind a
// routed link: real packets meet the rendered rules.
type world struct {
	testing.TB
	node  netns.NsHandle
	table *nft.Driver
	have  map[row.NftKey]row.Nft
	links int
}

// host is a pod or an outside machine.
type host struct {
	*world
	name string
	ns   netns.NsHandle
	addr [2]netip.Addr // IPv4 and IPv6
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{TB: t, have: map[row.NftKey]row.Nft{}}
	w.node = w.namespace()
	w.within(w.node, func() {
		for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
			w.must(writeSysctl(key, "1"))
		}
		lo, err := netlink.LinkByName("lo")
		w.must(err)
		w.must(netlink.LinkSetUp(lo))
	})
	table, err := nft.New(int(w.node))
	w.must(err)
	w.table = table
	t.Cleanup(func() { table.Close() })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// namespace makes a namespace that is gone when the test is.
func (w *world) namespace() netns.NsHandle {
	w.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	w.must(err)
	defer old.Close()
	ns, err := netns.New()
	if err != nil {
		w.Fatalf("making a network namespace (root is needed): %v", err)
	}
	for _, conf := range []string{"all", "default"} { // no waiting for duplicate addresses
		w.must(writeSysctl("net/ipv6/conf/"+conf+"/accept_dad", "0"))
	}
	w.must(netns.Set(old))
	w.Cleanup(func() { ns.Close() })
	return ns
}

// within runs f with the thread in a namespace. A thread that can't come back is not used again.
func (w *world) within(ns netns.NsHandle, f func()) {
	w.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		old, err := netns.Get()
		if err != nil || netns.Set(ns) != nil {
			w.Errorf("entering a namespace: %v", err)
			return
		}
		defer old.Close()
		f()
		if netns.Set(old) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
}

// host makes a host with one address of each family, and routes both ways.
func (w *world) host(name, v4, v6 string) *host {
	w.Helper()
	h := &host{world: w, name: name, ns: w.namespace(), addr: [2]netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}}
	w.links++
	near, far := fmt.Sprintf("v%d", w.links), "eth0"
	gateway := [2]netip.Addr{netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("fd00:ffff::1")}
	w.within(w.node, func() {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far, PeerNamespace: netlink.NsFd(h.ns)}
		w.must(netlink.LinkAdd(veth))
		w.plug(near, gateway, h.addr)
	})
	w.within(h.ns, func() {
		lo, err := netlink.LinkByName("lo")
		w.must(err)
		w.must(netlink.LinkSetUp(lo))
		link := w.plug(far, h.addr, gateway)
		for i := range h.addr {
			all := netip.PrefixFrom(gateway[i], 0).Masked()
			w.must(netlink.RouteAdd(&netlink.Route{LinkIndex: link, Dst: ipnet(all), Gw: gateway[i].AsSlice(), Flags: int(netlink.FLAG_ONLINK)}))
		}
		w.ready(far)
	})
	w.within(w.node, func() { w.ready(near) })
	return h
}

// ready waits for a link's carrier, which the kernel tells IPv6 of in its own time, and for the link-local
// address that neighbour discovery then starts from.
func (w *world) ready(name string) {
	w.Helper()
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(5 * time.Millisecond) {
		link, err := netlink.LinkByName(name)
		w.must(err)
		list, err := netlink.AddrList(link, netlink.FAMILY_V6)
		w.must(err)
		for _, a := range list {
			if a.IP.IsLinkLocalUnicast() && a.Flags&syscall.IFA_F_TENTATIVE == 0 && link.Attrs().OperState == netlink.OperUp {
				return
			}
		}
	}
	w.Fatalf("link %s is not ready after five seconds", name)
}

// plug sets a link up with its own addresses and routes to the peer's.
func (w *world) plug(name string, own, peer [2]netip.Addr) int {
	w.Helper()
	link, err := netlink.LinkByName(name)
	w.must(err)
	w.must(netlink.LinkSetUp(link))
	for i := range own {
		w.must(netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(own[i], own[i].BitLen())), Flags: syscall.IFA_F_NODAD}))
		w.must(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipnet(netip.PrefixFrom(peer[i], peer[i].BitLen())), Scope: netlink.SCOPE_LINK}))
	}
	return link.Attrs().Index
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// uplink makes a host the node's way to everywhere else.
func (w *world) uplink(h *host) {
	w.Helper()
	w.within(w.node, func() {
		link, err := netlink.LinkByName(fmt.Sprintf("v%d", w.links))
		w.must(err)
		for _, a := range h.addr {
			w.must(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipnet(netip.PrefixFrom(a, 0).Masked()),
				Gw: a.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}))
		}
	})
}

// self is the node as a client, and its addresses.
func (w *world) self(v4, v6 string) *host {
	w.Helper()
	h := &host{world: w, name: "node", ns: w.node, addr: [2]netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}}
	w.within(w.node, func() {
		lo, err := netlink.LinkByName("lo")
		w.must(err)
		for _, a := range h.addr {
			w.must(netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(a, a.BitLen())), Flags: syscall.IFA_F_NODAD}))
		}
	})
	return h
}

// want makes the table hold the skeleton and these Services, in one transaction of what differs.
func (w *world) want(services ...*intent.Service) {
	w.Helper()
	want := map[row.NftKey]row.Nft{}
	put := func(rows []row.Nft) {
		for _, r := range rows {
			want[r.Key()] = r
		}
	}
	put(ServiceSkeleton(ServiceParams{IPv4: true, IPv6: true,
		Inside: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}}))
	for _, s := range services {
		put(Service(s))
	}
	var changes []nft.Change
	for k, r := range want {
		if old, ok := w.have[k]; !ok {
			changes = append(changes, nft.Change{Key: k, New: &r})
		} else if old != r {
			changes = append(changes, nft.Change{Key: k, Old: &old, New: &r})
		}
	}
	for k, r := range w.have {
		if _, ok := want[k]; !ok {
			changes = append(changes, nft.Change{Key: k, Old: &r})
		}
	}
	w.must(w.table.Apply(context.Background(), changes))
	w.have = want
}

// serve answers TCP and UDP on a port of both families with the host's name and the client's address.
func (h *host) serve(port int) {
	h.Helper()
	h.within(h.ns, func() {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		h.must(err)
		p, err := net.ListenPacket("udp4", fmt.Sprintf("%s:%d", h.addr[0], port))
		h.must(err)
		p6, err := net.ListenPacket("udp6", fmt.Sprintf("[%s]:%d", h.addr[1], port))
		h.must(err)
		h.Cleanup(func() { l.Close(); p.Close(); p6.Close() })
		go h.acceptAll(l)
		go h.echoAll(p)
		go h.echoAll(p6)
	})
}

func (h *host) acceptAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go h.answer(c)
	}
}

// answer lets the client close first, so that it is the client who remembers the port and doesn't use it
// again while the node's conntrack and the server's TIME_WAIT would take it for the old connection.
func (h *host) answer(c net.Conn) {
	defer c.Close()
	fmt.Fprintf(c, "%s %s", h.name, clean(c.RemoteAddr()))
	io.Copy(io.Discard, c)
}

func (h *host) echoAll(p net.PacketConn) {
	b := make([]byte, 64)
	for {
		_, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		p.WriteTo(fmt.Appendf(nil, "%s %s", h.name, clean(from)), from)
	}
}

func clean(a net.Addr) netip.Addr {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap()
}

// answer is who answered and which client it saw.
type answer struct{ by, saw string }

// ask connects to a front.
func (h *host) ask(f intent.Front) (a answer, err error) {
	for range 2 { // one packet may get lost while neighbours are found
		if a, err = h.once(f); !silent(err) {
			break
		}
	}
	return a, err
}

func silent(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// once connects and gives up after a second, before TCP would try again.
func (h *host) once(f intent.Front) (answer, error) {
	var a answer
	var err error
	h.within(h.ns, func() {
		var c net.Conn
		if c, err = h.dial(f); err != nil {
			return
		}
		defer c.Close()
		a, err = talk(c)
	})
	return a, err
}

func (h *host) dial(f intent.Front) (net.Conn, error) {
	return net.DialTimeout(intent.ProtocolName(f.Protocol), netip.AddrPortFrom(f.Addr, f.Port).String(), time.Second)
}

// talk sends a little and reads what comes.
func talk(c net.Conn) (answer, error) {
	c.SetDeadline(time.Now().Add(time.Second))
	if c.LocalAddr().Network() == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return answer{}, err
		}
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	by, saw, _ := strings.Cut(string(b[:n]), " ")
	return answer{by, saw}, err
}

// tally asks n times, eight at once, and counts who answered; "" is nobody.
func (h *host) tally(f intent.Front, n int) map[string]int {
	h.Helper()
	count := h.count(f, n, h.ask)
	if count[""] > 0 {
		h.Errorf("%s to %s: %d of %d connections failed", h.name, f, count[""], n)
	}
	return count
}

func (h *host) count(f intent.Front, n int, ask func(intent.Front) (answer, error)) map[string]int {
	var mu sync.Mutex
	var group sync.WaitGroup
	count := map[string]int{}
	for range 8 {
		group.Go(func() {
			for range n / 8 {
				a, err := ask(f)
				mu.Lock()
				count[a.by]++
				mu.Unlock()
				if err != nil && !silent(err) {
					h.Errorf("%s to %s: %v", h.name, f, err)
				}
			}
		})
	}
	group.Wait()
	return count
}

// refused tells whether a front turned the client away at once.
func (h *host) refused(f intent.Front) error {
	start := time.Now()
	a, err := h.once(f)
	if silent(err) {
		start = time.Now()
		a, err = h.once(f)
	}
	switch {
	case err == nil:
		return fmt.Errorf("%s answered", a.by)
	case errors.Is(err, syscall.EPERM) && f.Protocol == 17 && h.ns == h.node:
		return nil // what the node itself sends is refused by the system call
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	case time.Since(start) > 500*time.Millisecond:
		return fmt.Errorf("refused after %s", time.Since(start))
	}
	return nil
}

// timesOut tells whether a front stays silent.
func (h *host) timesOut(f intent.Front) error {
	a, err := h.once(f)
	switch {
	case err == nil:
		return fmt.Errorf("%s answered", a.by)
	case silent(err):
		return nil
	}
	return err
}
