//go:build guest

package facilities

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is a network namespace and a way to configure it.
type host struct {
	*netlink.Handle
	ns netns.NsHandle
}

// newHost makes a host with lo up; it is gone with the test.
func newHost(t *testing.T) host {
	t.Helper()
	var h host
	var err error
	onOwnThread(func() { h.ns, err = netns.New() })
	must(t, err)
	// without NETLINK_GENERIC a handle makes its FoU requests in the caller's namespace
	h.Handle, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	must(t, err)
	t.Cleanup(func() { h.Handle.Close(); h.ns.Close() })
	h.up(t, "lo")
	return h
}

// pair makes two hosts with a wire between them: 192.0.2.1/24 and 192.0.2.2/24 on eth0.
func pair(t *testing.T) (a, b host) {
	t.Helper()
	a, b = newHost(t), newHost(t)
	wire := netlink.NewVeth(netlink.NewLinkAttrs())
	wire.Name, wire.PeerName, wire.PeerNamespace = "eth0", "eth0", netlink.NsFd(b.ns)
	must(t, a.LinkAdd(wire))
	a.address(t, "eth0", "192.0.2.1/24")
	b.address(t, "eth0", "192.0.2.2/24")
	return a, b
}

// onOwnThread runs f on a thread that ends with it, so that f may change namespaces.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread
		f()
	}()
	<-done
}

// do runs f in the host's namespace.
func (h host) do(t *testing.T, f func() error) {
	t.Helper()
	var err error
	onOwnThread(func() {
		if err = netns.Set(h.ns); err == nil {
			err = f()
		}
	})
	must(t, err)
}

func (h host) up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := h.LinkByName(name)
	must(t, err)
	must(t, h.LinkSetUp(link))
	return link
}

func (h host) address(t *testing.T, name, prefix string) {
	t.Helper()
	addr, err := netlink.ParseAddr(prefix)
	must(t, err)
	must(t, h.AddrAdd(h.up(t, name), addr))
}

// serve answers each TCP connection to addr with word, until the test ends.
func (h host) serve(t *testing.T, addr, word string) {
	t.Helper()
	var l net.Listener
	h.do(t, func() (err error) { l, err = net.Listen("tcp", addr); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, word)
			c.Close()
		}
	}()
}

// ask returns the word that addr answers, and how long that took.
func (h host) ask(t *testing.T, addr string) (word string, took time.Duration, err error) {
	t.Helper()
	target := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
	start := time.Now()
	h.do(t, func() error {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", target.String(), 5*time.Second); err != nil {
			return nil
		}
		defer c.Close()
		var text []byte
		text, err = io.ReadAll(c)
		word = string(text)
		return nil
	})
	return word, time.Since(start), err
}

// expect fails the test unless addr answers word.
func (h host) expect(t *testing.T, addr, word string) {
	t.Helper()
	if got, _, err := h.ask(t, addr); err != nil || got != word {
		t.Errorf("%s answers %q, error %v; want %q", addr, got, err, word)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
