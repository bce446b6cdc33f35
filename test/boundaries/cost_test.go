//go:build boundaries

package boundaries

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	driver "kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// pair are two pods on a bridge, in network namespaces of their own, each with a socket for each family.
type pair struct {
	node    netns.NsHandle
	mac     net.HardwareAddr // of the first pod
	sockets [2][2]int        // by family: who sends, who receives
}

// newPair needs its caller's thread.
func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{}
	var pods [2]netns.NsHandle
	for _, ns := range []*netns.NsHandle{&pods[0], &pods[1], &p.node} {
		var err error
		if *ns, err = netns.New(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ns.Close() })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni9"}}
	must(netlink.LinkAdd(bridge))
	must(netlink.LinkSetUp(bridge))
	for i, ns := range pods {
		port := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("veth%d", i+1), MasterIndex: bridge.Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
		must(netlink.LinkAdd(port))
		must(netlink.LinkSetUp(port))
		must(netns.Set(ns))
		eth0, err := netlink.LinkByName("eth0")
		must(err)
		must(netlink.LinkSetUp(eth0))
		for f, text := range []string{"10.244.1.%d/24", "fd00::%d/64"} {
			a, err := netlink.ParseAddr(fmt.Sprintf(text, i+1))
			must(err)
			a.Flags = unix.IFA_F_NODAD
			must(netlink.AddrAdd(eth0, a))
			p.sockets[f][i], err = unix.Socket([2]int{unix.AF_INET, unix.AF_INET6}[f], unix.SOCK_DGRAM, 0)
			must(err)
			t.Cleanup(func() { unix.Close(p.sockets[f][i]) })
		}
		if i == 0 {
			p.mac = eth0.Attrs().HardwareAddr
		}
		must(netns.Set(p.node))
	}
	must(unix.Bind(p.sockets[0][1], &unix.SockaddrInet4{Port: 9000}))
	must(unix.Bind(p.sockets[1][1], &unix.SockaddrInet6{Port: 9001}))
	must(unix.Connect(p.sockets[0][0], &unix.SockaddrInet4{Port: 9000, Addr: [4]byte{10, 244, 1, 2}}))
	must(unix.Connect(p.sockets[1][0], &unix.SockaddrInet6{Port: 9001, Addr: [16]byte{0: 0xfd, 15: 2}}))
	for f := range p.sockets {
		limit := func(usec int64) {
			must(unix.SetsockoptTimeval(p.sockets[f][1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: usec}))
		}
		limit(100_000)
		for range 100 { // a port forwards a moment after it is up
			_, err := unix.Write(p.sockets[f][0], []byte("?"))
			must(err)
			if _, err = unix.Read(p.sockets[f][1], make([]byte, 10)); err == nil {
				break
			}
		}
		time.Sleep(100 * time.Millisecond) // what was held until the neighbour was known
		for {
			if _, _, err := unix.Recvfrom(p.sockets[f][1], make([]byte, 10), unix.MSG_DONTWAIT); err != nil {
				break
			}
		}
		limit(999_999)
	}
	return p
}

// guards are those of so many pods, the first of which is who sends.
func (p *pair) guards(pods int) []row.Nft {
	rows := nft.GuardBase()
	for i := 1; i <= pods; i++ {
		port := &intent.Port{Name: fmt.Sprintf("veth%d", i), MAC: [6]byte{2, 0, 0, 0, 0, byte(i)}, Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}),
		}}
		if i == 1 {
			copy(port.MAC[:], p.mac)
		}
		rows = append(rows, nft.GuardPort(port)...)
	}
	return rows
}

// put gives the node rules.
func (p *pair) put(t *testing.T, rows []row.Nft) {
	t.Helper()
	table, err := driver.New(int(p.node))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	var changes []driver.Change
	for _, r := range rows {
		changes = append(changes, driver.Change{Key: r.Key(), New: new(r)})
	}
	if err := table.Apply(context.Background(), changes); err != nil {
		t.Fatal(err)
	}
}

// batch sends packets, each of which is received before the next, and tells how long it took.
func (p *pair) batch(t *testing.T, family, packets int) time.Duration {
	t.Helper()
	word, b := make([]byte, 100), make([]byte, 200)
	begun := time.Now()
	for range packets {
		if _, err := unix.Write(p.sockets[family][0], word); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Read(p.sockets[family][1], b); err != nil {
			t.Fatalf("nothing came: %v", err)
		}
	}
	return time.Since(begun)
}

// TestGuardCost sends packets from one pod of a node to another, with the guards of 250 pods and without any, in turns. The fastest of many
// small batches counts, which a busy machine does not disturb. Both nodes have the rules of Services, and no more on the way: no policy, no
// other program's rules.
func TestGuardCost(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	defer func() { _ = netns.Set(home) }()
	bare, guarded := newPair(t), newPair(t)
	services := nft.ServiceSkeleton(nft.ServiceParams{IPv4: true, IPv6: true}) // what every node has: packets are tracked
	bare.put(t, services)
	guarded.put(t, append(services, guarded.guards(250)...))
	for f, name := range []string{"IPv4", "IPv6"} {
		const packets, turns = 200, 400
		best := [2]time.Duration{time.Hour, time.Hour}
		for range turns {
			for i, p := range []*pair{bare, guarded} {
				best[i] = min(best[i], p.batch(t, f, packets))
			}
		}
		rate := func(d time.Duration) float64 { return packets / d.Seconds() }
		ratio := rate(best[1]) / rate(best[0])
		var worse error
		if ratio < 0.9 { // the aim is 0.97; a machine's own noise is in it
			worse = fmt.Errorf("the guard costs more than a tenth: %.3f", ratio)
		}
		scoring.Judge(t, t.Name(), name+": packets a second with the guard, as a share of those without", worse, "%.3f (%.0f and %.0f)", ratio, rate(best[1]), rate(best[0]))
	}
}
