package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/model"
)

// box keeps what a model would.
type box struct {
	mu       sync.Mutex
	links    map[string]*model.Link
	replaced int
	puts     int
}

func (b *box) Put(o model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := o.(*model.Link)
	b.links[l.Name] = l
	b.puts++
}

func (b *box) Delete(r model.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, r.Name.Name)
}

func (b *box) Replace(_ model.Kind, all []model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links = map[string]*model.Link{}
	for _, o := range all {
		b.links[o.(*model.Link).Name] = o.(*model.Link)
	}
	b.replaced++
}

// wait waits until the box holds exactly these links besides lo.
func (b *box) wait(t *testing.T, what string, want ...model.Link) {
	t.Helper()
	var diff string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got := map[string]model.Link{}
		b.mu.Lock()
		for n, l := range b.links {
			if n != "lo" {
				got[n] = *l
			}
		}
		b.mu.Unlock()
		wanted := map[string]model.Link{}
		for _, l := range want {
			wanted[l.Name] = l
		}
		diff = cmp.Diff(wanted, got, cmpopts.IgnoreFields(model.Link{}, "Index"), cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
		if diff == "" {
			return
		}
	}
	t.Fatalf("%s: links differ (-want +got):\n%s", what, diff)
}

// namespace makes a network namespace that is gone after the test, and a handle into it.
func namespace(t *testing.T) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("network namespaces need root: %v", err)
	}
	if err = netns.Set(old); err != nil {
		t.Fatal(err)
	}
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(); ns.Close() })
	return ns, h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, ns netns.NsHandle) *box {
	t.Helper()
	b := &box{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(ns, b).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run did not return")
		}
	})
	return b
}

func addr(t *testing.T, s string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(s)
	must(t, err)
	a.Flags |= 0x02 // IFA_F_NODAD: usable at once
	return a
}

func link(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	must(t, err)
	return l
}

func TestWatchFollowsLinksAndAddresses(t *testing.T) {
	ns, h := namespace(t)
	must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1400}, PeerName: "far"}))
	must(t, h.AddrAdd(link(t, h, "eth0"), addr(t, "10.1.0.1/24")))
	must(t, h.LinkSetUp(link(t, h, "eth0")))
	b := start(t, ns)
	eth0 := model.Link{Name: "eth0", Kind: "veth", MTU: 1400, Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}}
	b.wait(t, "first picture", eth0)

	must(t, h.AddrAdd(link(t, h, "eth0"), addr(t, "fd00::1/64")))
	eth0.Addrs = append(eth0.Addrs, netip.MustParsePrefix("fd00::1/64"))
	b.wait(t, "address added", eth0)

	must(t, h.LinkSetMTU(link(t, h, "eth0"), 1450))
	eth0.MTU = 1450
	b.wait(t, "MTU changed", eth0)

	must(t, h.AddrDel(link(t, h, "eth0"), addr(t, "10.1.0.1/24")))
	eth0.Addrs = eth0.Addrs[1:]
	b.wait(t, "address removed", eth0)

	must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br9", MTU: 1500}}))
	b.wait(t, "link added", eth0, model.Link{Name: "br9", Kind: "bridge", MTU: 1500})
	must(t, h.LinkDel(link(t, h, "br9")))
	b.wait(t, "link removed", eth0)

	must(t, h.LinkSetDown(link(t, h, "eth0")))
	eth0.Up, eth0.Addrs = false, nil // IPv6 addresses go with the link, and a veth without address is left out
	b.wait(t, "link down")
	if b.replaced != 1 {
		t.Errorf("Replace called %d times, want once", b.replaced)
	}
}

func TestWatchLeavesOutOurOwn(t *testing.T) {
	ns, h := namespace(t)
	must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "kube-bridge"}}))
	must(t, h.AddrAdd(link(t, h, "kube-bridge"), addr(t, "10.2.0.1/24")))
	b := start(t, ns)
	b.wait(t, "bridge alone")
	for _, name := range []string{"tun-e443169117a", "kube-vxlan4", "kube-dummy-if"} {
		must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}))
		must(t, h.AddrAdd(link(t, h, name), addr(t, "10.3.0.1/32")))
	}
	must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}}))
	b.wait(t, "ours and another's", model.Link{Name: "tun0", Kind: "bridge", MTU: 1500})
}

// A pod's link comes without a master, gets one, gets a link-local address: nothing of it may be told,
// or every pod would set off planning for the whole node.
func TestWatchIsStillWhilePodsStart(t *testing.T) {
	ns, h := namespace(t)
	must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "kube-bridge"}}))
	b := start(t, ns)
	b.wait(t, "first picture")
	for i := range 40 {
		name := fmt.Sprintf("veth%08x", i)
		must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: fmt.Sprintf("p%d", i)}))
		must(t, h.LinkSetMaster(link(t, h, name), link(t, h, "kube-bridge")))
		must(t, h.AddrAdd(link(t, h, name), addr(t, "fe80::1/64")))
		must(t, h.LinkSetUp(link(t, h, name)))
	}
	must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "last"}}))
	b.wait(t, "after the pods", model.Link{Name: "last", Kind: "bridge", MTU: 1500})
	if b.puts > 2 {
		t.Errorf("%d changes told, want those of one link", b.puts)
	}
}

// A full socket buffer loses notifications, and the kernel says so once (ENOBUFS). That is one more
// reason to look, and the socket goes on.
func TestListenSurvivesLostNotifications(t *testing.T) {
	ns, h := namespace(t)
	s, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	must(t, err)
	must(t, s.SetReceiveBufferSize(1, true)) // the kernel rounds up to its least
	for i := range 8 {
		must(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("br%d", i)}}))
	}
	lost := &counter{listener: s}
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- listen(lost, changed) }()
	for lost.full.Load() == 0 || lost.good.Load() == 0 {
		select {
		case <-changed:
		case err := <-ended:
			t.Fatalf("listen ended: %v", err)
		case <-time.After(5 * time.Second):
			t.Fatalf("%d losses and %d notifications seen, want some of both", lost.full.Load(), lost.good.Load())
		}
		must(t, h.LinkSetMTU(link(t, h, "br0"), 1400+int(lost.good.Load())%2))
	}
	s.Close()
	<-ended
}

// counter counts what a socket says.
type counter struct {
	listener
	full, good atomic.Int32
}

func (c *counter) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	m, from, err := c.listener.Receive()
	switch {
	case errors.Is(err, unix.ENOBUFS):
		c.full.Add(1)
	case err == nil:
		c.good.Add(1)
	}
	return m, from, err
}
