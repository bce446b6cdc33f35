package rtnl

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/driver/sysctl"
	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/plan/route"
	"kube-router/internal/render/linux"
	"kube-router/internal/row"
)

// site is one node with one pod, each a namespace.
type site struct {
	name       string
	node, pod  *netns.Space
	nodes      []netip.Prefix // the node's addresses, IPv4 first
	pods       []netip.Prefix // its pod ranges
	kernel     *kernel
	mtu        int
	tunnelled  bool
	podAddress []netip.Addr
}

func newSite(t *testing.T, n, net int) *site {
	t.Helper()
	s := &site{
		name:  fmt.Sprint("n", n),
		nodes: []netip.Prefix{pfx(fmt.Sprintf("10.0.%d.%d/24", net, n)), pfx(fmt.Sprintf("fd00:%d::%d/64", net, n))},
		pods:  []netip.Prefix{pfx(fmt.Sprintf("10.244.%d.0/24", n)), pfx(fmt.Sprintf("fd01:%d::/64", n))},
	}
	s.podAddress = []netip.Addr{ip(fmt.Sprintf("10.244.%d.7", n)), ip(fmt.Sprintf("fd01:%d::7", n))}
	s.node, s.pod = newSpace(t), newSpace(t)
	return s
}

func newSpace(t *testing.T) *netns.Space {
	t.Helper()
	s, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	return s
}

// start makes of a namespace a node, with what we plan and render for it.
func (s *site) start(t *testing.T, settings model.Settings, all ...*site) {
	t.Helper()
	m := model.New(settings)
	for _, o := range all {
		n := &model.Node{Name: o.name, PodCIDRs: o.pods}
		for _, p := range o.nodes {
			n.InternalIPs = append(n.InternalIPs, p.Addr())
		}
		m.Put(n)
	}
	m.Settings.Node = s.name
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: s.nodes})
	ns := vnetns.NsHandle(s.node.Fd())
	d, err := New(ns, uint16(settings.Routes.OverlayPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	s.kernel = &kernel{t, d, d.h}
	s.kernel.want(s.plan(t, m, sysctl.New(ns, filepath.Join(t.TempDir(), "state")))...)
	s.plug(t)
}

// plan plans and renders everything for the node, and applies the settings.
func (s *site) plan(t *testing.T, m *model.Model, settings *sysctl.Driver) []row.Linux {
	t.Helper()
	hosts, _ := host.Plan(m)
	s.mtu = hosts[0].MTU
	rows := map[row.LinuxKey]row.Linux{}
	for _, r := range linux.Links(hosts[0]) {
		rows[r.Key()] = r
	}
	own, tables, _ := route.Self(m)
	for name := range m.Nodes {
		more, remarks := route.Node(m, name)
		if len(remarks) > 0 {
			t.Fatal(remarks)
		}
		own = append(own, more...)
	}
	for _, r := range own {
		for _, x := range linux.Route(r) {
			rows[x.Key()] = x
		}
		s.tunnelled = s.tunnelled || len(r.Hops) > 0 && r.Hops[0].Tunnel != nil
	}
	for _, x := range linux.PodTable(tables[0]) {
		rows[x.Key()] = x
	}
	var changes []row.Change[string, row.Sysctl]
	for _, x := range linux.Sysctls(hosts[0]) {
		if !strings.Contains(x.Name, "/"+row.BridgeName+"/") { // the bridge is not there yet
			changes = append(changes, row.Change[string, row.Sysctl]{Key: x.Name, New: &x})
		}
	}
	if err := settings.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	list := make([]row.Linux, 0, len(rows))
	for _, r := range rows {
		list = append(list, r)
	}
	return list
}

// plug does the CNI plugin's part: the bridge's addresses and the pod's cable.
func (s *site) plug(t *testing.T) {
	t.Helper()
	k := s.kernel
	bridge, err := k.h.LinkByName(row.BridgeName)
	k.must(err)
	var inside []netip.Prefix
	for i, p := range s.pods {
		k.must(k.h.AddrAdd(bridge, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.Addr().Next(), p.Bits())), Flags: unix.IFA_F_NODAD}))
		inside = append(inside, netip.PrefixFrom(s.podAddress[i], p.Bits()))
	}
	k.must(netns.Cable(s.mtu, netns.End{Space: s.node, Name: "veth0"}, netns.End{Space: s.pod, Name: "eth0", Addrs: inside}))
	k.must(s.node.Enslave("veth0", row.BridgeName))
	k.must(s.pod.Route(pfx("0.0.0.0/0"), s.pods[0].Addr().Next()))
	k.must(s.pod.Route(pfx("::/0"), s.pods[1].Addr().Next()))
}

// echo answers TCP and UDP in a namespace with what it gets.
func echo(t *testing.T, s *netns.Space) {
	t.Helper()
	err := s.Do(func() error {
		l, err := net.Listen("tcp", ":7")
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp", ":7")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close(); u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }()
			}
		}()
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := u.ReadFrom(b)
				if err != nil {
					return
				}
				u.WriteTo(b[:n], from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects from a namespace; packets may not be fragmented on the way.
func dial(t *testing.T, s *netns.Space, network string, to netip.Addr) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		})
	}}
	var c net.Conn
	err := s.Do(func() (err error) {
		c, err = d.DialContext(t.Context(), network, netip.AddrPortFrom(to, 7).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	return c
}

// exchange sends messages and wants each back.
func exchange(t *testing.T, c net.Conn, size, times int) {
	t.Helper()
	sent, got := bytes.Repeat([]byte{'x'}, size), make([]byte, size)
	for i := range times {
		if _, err := c.Write(sent); err != nil {
			t.Fatalf("%s, message %d of %d bytes: %v", c.RemoteAddr(), i, size, err)
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(sent, got) {
			t.Fatalf("%s, answer %d of %d bytes: %v", c.RemoteAddr(), i, size, err)
		}
	}
}

// talk has pods and nodes of two sites talk in both families.
func talk(t *testing.T, a, b *site) {
	t.Helper()
	echo(t, b.pod)
	echo(t, b.node)
	for i, header := range []int{28, 48} {
		exchange(t, dial(t, a.pod, "tcp", b.podAddress[i]), 10_000, 1000)
		exchange(t, dial(t, a.pod, "udp", b.podAddress[i]), a.mtu-header, 100)
		exchange(t, dial(t, a.node, "tcp", b.podAddress[i]), 10_000, 10)
		exchange(t, dial(t, a.pod, "tcp", b.nodes[i].Addr()), 10_000, 10)
	}
}

func overlay(encap, typ string) model.Settings {
	return model.Settings{
		Router: true, IPv4: true, IPv6: true, CNI: model.CNISettings{AutoMTU: true},
		Routes: model.RouteSettings{Source: "api", Overlay: true, OverlayType: typ, OverlayEncap: encap, OverlayPort: 5555},
	}
}

func TestPodsTalkThroughTunnels(t *testing.T) {
	for _, encap := range []string{"vxlan", "ipip", "fou"} {
		t.Run(encap+" between subnets", func(t *testing.T) {
			if encap != "vxlan" {
				newKernel(t).needs(row.LinkIPIP)
			}
			a, b := newSite(t, 1, 1), newSite(t, 2, 2)
			routed(t, a, b)
			s := overlay(encap, "subnet")
			a.start(t, s, a, b)
			b.start(t, s, a, b)
			talk(t, a, b)
		})
		t.Run(encap+" within a subnet", func(t *testing.T) {
			if encap != "vxlan" {
				newKernel(t).needs(row.LinkIPIP)
			}
			a, b := newSite(t, 1, 1), newSite(t, 2, 1)
			joined(t, a, b)
			s := overlay(encap, "full")
			a.start(t, s, a, b)
			b.start(t, s, a, b)
			if !a.tunnelled {
				t.Error("no tunnel")
			}
			talk(t, a, b)
		})
	}
}

func TestPodsTalkWithoutTunnels(t *testing.T) {
	a, b := newSite(t, 1, 1), newSite(t, 2, 1)
	joined(t, a, b)
	s := overlay("ipip", "subnet")
	a.start(t, s, a, b)
	b.start(t, s, a, b)
	if a.tunnelled {
		t.Error("a tunnel")
	}
	talk(t, a, b)
}

// joined puts two nodes on one cable.
func joined(t *testing.T, a, b *site) {
	t.Helper()
	if err := netns.Cable(1500, netns.End{Space: a.node, Name: "eth0", Addrs: a.nodes}, netns.End{Space: b.node, Name: "eth0", Addrs: b.nodes}); err != nil {
		t.Fatal(err)
	}
}

// routed puts a router between two nodes that knows nothing of pods.
func routed(t *testing.T, sites ...*site) {
	t.Helper()
	r := newSpace(t)
	if err := r.Sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"); err != nil {
		t.Fatal(err)
	}
	for i, s := range sites {
		var gateways []netip.Prefix
		for _, p := range s.nodes {
			last := p.Masked().Addr().AsSlice()
			last[len(last)-1] = 254
			a, _ := netip.AddrFromSlice(last)
			gateways = append(gateways, netip.PrefixFrom(a, p.Bits()))
		}
		end := netns.End{Space: r, Name: fmt.Sprint("eth", i), Addrs: gateways}
		if err := netns.Cable(1500, end, netns.End{Space: s.node, Name: "eth0", Addrs: s.nodes}); err != nil {
			t.Fatal(err)
		}
		for j, dst := range []string{"0.0.0.0/0", "::/0"} {
			if err := s.node.Route(pfx(dst), gateways[j].Addr()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
