package rtnl

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/row"
)

// kernel is a namespace of the test's own with a link eth0 that is up, and a driver in it.
type kernel struct {
	t testing.TB
	*Driver
	stranger *netlink.Handle
}

func newKernel(t testing.TB) *kernel {
	t.Helper()
	space, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { space.Close() })
	ns := vnetns.NsHandle(space.Fd())
	d, err := New(ns, 5555)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	k := &kernel{t, d, h}
	k.veth("eth0", "10.0.0.1/24", "fd00::1/64")
	return k
}

// veth makes a link of somebody else's that is up.
func (k *kernel) veth(name string, addrs ...string) {
	k.t.Helper()
	a := netlink.NewLinkAttrs()
	a.Name, a.Flags = name, net.FlagUp
	k.must(k.stranger.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: name + "p"}))
	peer, err := k.stranger.LinkByName(name + "p")
	k.must(err)
	k.must(k.stranger.LinkSetUp(peer))
	l, err := k.stranger.LinkByName(name)
	k.must(err)
	for _, text := range addrs {
		n := ipNet(netip.MustParsePrefix(text))
		k.must(k.stranger.AddrAdd(l, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}))
	}
}

func (k *kernel) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// want applies what is missing until the kernel has exactly these rows, and checks that once is enough.
func (k *kernel) want(list ...row.Linux) {
	k.t.Helper()
	k.must(k.Apply(k.t.Context(), k.diff(list...)))
	k.holds(list...)
}

func (k *kernel) holds(list ...row.Linux) {
	k.t.Helper()
	want := map[string]string{}
	for _, r := range list {
		want[r.Key().String()] = r.String()
	}
	have := map[string]string{}
	for _, r := range k.dump() {
		have[r.Key().String()] = r.String()
	}
	if d := cmp.Diff(want, have); d != "" {
		k.t.Fatalf("want - have +:\n%s", d)
	}
	if c := k.diff(list...); len(c) > 0 {
		k.t.Fatalf("rows that print alike differ: %v", c)
	}
}

func (k *kernel) dump() map[row.LinuxKey]row.Linux {
	k.t.Helper()
	have, err := k.Dump(k.t.Context())
	k.must(err)
	return have
}

// diff is what a lane would do.
func (k *kernel) diff(list ...row.Linux) []change {
	have := k.dump()
	var changes []change
	for _, r := range list {
		if old, ok := have[r.Key()]; !ok {
			changes = append(changes, change{Key: r.Key(), New: &r})
		} else if old != r {
			changes = append(changes, change{Key: r.Key(), Old: &old, New: &r})
		}
		delete(have, r.Key())
	}
	for key, old := range have {
		changes = append(changes, change{Key: key, Old: &old})
	}
	return changes
}

// needs is for tests of what some kernels lack. They are skipped there, and run in the guest kernel, which has
// everything: there a missing facility is a failure.
func (k *kernel) needs(kind row.LinkKind) {
	k.t.Helper()
	a := netlink.NewLinkAttrs()
	a.Name = "probe"
	err := k.stranger.LinkAdd(&netlink.GenericLink{LinkAttrs: a, LinkType: string(kind)})
	if errors.Is(err, unix.EOPNOTSUPP) {
		if os.Getenv("KUBE_ROUTER_GUEST") != "" {
			k.t.Fatalf("the guest kernel lacks links of kind %s", kind)
		}
		k.t.Skipf("this kernel lacks links of kind %s; the guest suite runs this test", kind)
	}
	if l, err := k.stranger.LinkByName("probe"); err == nil {
		k.must(k.stranger.LinkDel(l))
	}
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

func via(a string) row.Hops { return row.MakeHops(row.Hop{Via: ip(a), Dev: "eth0"}) }

var bridge = row.Link{Name: row.BridgeName, Kind: row.LinkBridge, MTU: 1400}

func TestRowsOfEveryKindComeBackAsTheyWere(t *testing.T) {
	k := newKernel(t)
	mac := row.MAC{0x0a, 77, 10, 0, 0, 2}
	vx := row.Link{Name: row.VxlanName, Kind: row.LinkVxlan, MTU: 1450, MAC: row.MAC{0x0a, 77, 10, 0, 0, 1}, Local: ip("10.0.0.1"), VNI: 77, Port: 8472}
	vx6 := row.Link{Name: row.Vxlan6Name, Kind: row.LinkVxlan, MTU: 1430, MAC: row.MAC{0x0a, 78, 10, 0, 0, 1}, Local: ip("fd00::1"), VNI: 77, Port: 8472}
	rows := []row.Linux{
		bridge, vx, vx6,
		row.Neigh{Dev: vx.Name, Addr: ip("10.0.1.2"), MAC: mac},
		row.Neigh{Dev: vx.Name, Addr: ip("10.0.1.2"), MAC: mac, Fdb: true},
		row.Neigh{Dev: vx6.Name, Addr: ip("fd00:1::2"), MAC: mac},
		row.Neigh{Dev: vx6.Name, Addr: ip("fd00:1::2"), MAC: mac, Fdb: true},
		row.Addr{Dev: vx.Name, Net: pfx("10.9.0.1/32"), NoSource: true},
		row.Addr{Dev: vx.Name, Net: pfx("10.9.0.2/24")},
		row.Addr{Dev: vx.Name, Net: pfx("fd09::1/128"), NoSource: true},
		row.Addr{Dev: vx.Name, Net: pfx("fd09::2/128")},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.2.0/24"), Hops: via("10.0.0.2")},
		row.Route{Table: row.TableMain, Dst: pfx("fd02::/64"), Hops: via("fd00::2")},
		row.Route{Table: row.TableMain, Dst: pfx("fd03::/64"), Hops: via("fd00::2"), Metric: 7, MTU: 1400},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.1.0/24"), Metric: 65535, Kind: row.RouteUnreachable},
		row.Route{Table: row.TableMain, Dst: pfx("fd01::/64"), Metric: 65535, Kind: row.RouteUnreachable},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.3.0/24"), Src: ip("10.0.0.1"), MTU: 1450,
			Hops: row.MakeHops(row.Hop{Via: ip("10.0.1.2"), Dev: vx.Name, Onlink: true})},
		row.Route{Table: row.TableMain, Dst: pfx("fd04::/64"), Src: ip("fd00::1"),
			Hops: row.MakeHops(row.Hop{Via: ip("fd00:1::2"), Dev: vx6.Name, Onlink: true})},
		row.Route{Table: row.TablePods, Dst: pfx("10.0.1.2/32"), Hops: row.MakeHops(row.Hop{Dev: vx.Name})},
		row.Route{Table: row.TableMain, Dst: pfx("10.1.0.0/16"), Hops: row.MakeHops(
			row.Hop{Via: ip("10.0.0.3"), Dev: "eth0"}, row.Hop{Via: ip("10.0.0.2"), Dev: "eth0"})},
		row.Route{Table: row.TableMain, Dst: pfx("fd05::/64"), Hops: row.MakeHops(
			row.Hop{Via: ip("fd00::3"), Dev: "eth0"}, row.Hop{Via: ip("fd00::2"), Dev: "eth0"})},
		row.Route{Table: row.TableExternal, Dst: pfx("0.0.0.0/0"), Hops: via("10.0.0.2")},
		row.Rule{Priority: row.RulePods, Src: pfx("10.244.1.0/24"), Table: row.TablePods},
		row.Rule{Priority: row.RulePods, V6: true, Src: pfx("fd01::/64"), Table: row.TablePods},
		row.Rule{Priority: row.RuleDSR, Mark: 5, Mask: 0x3fff, Table: row.TableDSR},
		row.Rule{Priority: row.RuleExternal, Table: row.TableExternal},
	}
	k.want(rows...)
	k.must(k.Apply(t.Context(), everything(rows)))
	k.holds(rows...)
	again, err := New(k.ns, 5555)
	k.must(err)
	defer again.Close()
	(&kernel{t, again, k.stranger}).holds(rows...)
	k.want()
}

// everything makes all rows, as a lane does that doesn't know what is there.
func everything(rows []row.Linux) []change {
	var list []change
	for _, r := range rows {
		list = append(list, change{Key: r.Key(), New: &r})
	}
	return list
}

func TestRowsChangeInPlace(t *testing.T) {
	k := newKernel(t)
	wide := bridge
	wide.MTU = 1500
	r := row.Route{Table: row.TableMain, Dst: pfx("10.244.2.0/24"), Hops: via("10.0.0.2")}
	moved := r
	moved.Hops = row.MakeHops(row.Hop{Via: ip("10.0.0.3"), Dev: "eth0"}, row.Hop{Via: ip("10.0.0.4"), Dev: "eth0"})
	r6 := row.Route{Table: row.TableMain, Dst: pfx("fd02::/64"), Hops: via("fd00::2")}
	moved6 := r6
	moved6.Hops = row.MakeHops(row.Hop{Via: ip("fd00::3"), Dev: "eth0"}, row.Hop{Via: ip("fd00::4"), Dev: "eth0"})
	k.want(bridge, r, r6)
	k.want(wide, moved, moved6)
	k.want(bridge, r, r6)
}

func TestABridgeOfFreeMTUIsLeftAsItIs(t *testing.T) {
	k := newKernel(t)
	free := row.Link{Name: row.BridgeName, Kind: row.LinkBridge}
	k.want(free)
	l, err := k.stranger.LinkByName(row.BridgeName)
	k.must(err)
	k.must(k.stranger.LinkSetMTU(l, 1234))
	k.holds(free)
	k.want(bridge)
}

func TestALinkThatIsDownIsSetUp(t *testing.T) {
	k := newKernel(t)
	k.want(bridge)
	l, err := k.stranger.LinkByName(row.BridgeName)
	k.must(err)
	k.must(k.stranger.LinkSetDown(l))
	k.want(bridge)
}

func TestALinkMadeAnewKeepsItsRoutes(t *testing.T) {
	k := newKernel(t)
	vx := row.Link{Name: row.VxlanName, Kind: row.LinkVxlan, MTU: 1450, MAC: row.MAC{2, 1}, Local: ip("10.0.0.1"), VNI: 77, Port: 8472}
	n := row.Neigh{Dev: vx.Name, Addr: ip("10.0.1.2"), MAC: row.MAC{2, 3}}
	r := row.Route{Table: row.TableMain, Dst: pfx("10.244.3.0/24"), Hops: row.MakeHops(row.Hop{Via: ip("10.0.1.2"), Dev: vx.Name, Onlink: true})}
	k.want(vx, n, r)
	vx.VNI = 78
	k.must(k.Apply(t.Context(), everything([]row.Linux{vx})))
	k.holds(vx, n, r)
}

func TestSomebodyElsesThingsStay(t *testing.T) {
	k := newKernel(t)
	eth0, err := k.stranger.LinkByName("eth0")
	k.must(err)
	theirs := &netlink.Route{Dst: ipNet(pfx("10.244.2.0/24")), Gw: ip("10.0.0.9").AsSlice(), LinkIndex: eth0.Attrs().Index, Protocol: unix.RTPROT_STATIC}
	k.must(k.stranger.RouteAdd(theirs))
	a := netlink.NewLinkAttrs()
	a.Name = row.VxlanName
	k.must(k.stranger.LinkAdd(&netlink.Bridge{LinkAttrs: a}))
	other := row.Route{Table: row.TableMain, Dst: pfx("10.244.4.0/24"), Hops: via("10.0.0.2")}
	r := row.Route{Table: row.TableMain, Dst: pfx("10.244.2.0/24"), Hops: via("10.0.0.2")}
	vx := row.Link{Name: row.VxlanName, Kind: row.LinkVxlan, Local: ip("10.0.0.1"), VNI: 77, Port: 8472}
	err = k.Apply(t.Context(), everything([]row.Linux{r, vx, other}))
	var failed row.Failed[row.LinuxKey]
	if !errors.As(err, &failed) || len(failed) != 2 || failed[r.Key()] == nil || failed[vx.Key()] == nil {
		t.Fatalf("want failures of %v and %v, have %v", r, vx, err)
	}
	if !errors.As(failed[r.Key()], &row.Foreign{}) || !errors.As(failed[vx.Key()], &row.Foreign{}) {
		t.Errorf("what stands in the way is others' fault: %#v", failed)
	}
	k.holds(other)
	k.want()
	list, err := k.stranger.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: unix.RTPROT_STATIC}, netlink.RT_FILTER_PROTOCOL)
	if err != nil || len(list) != 1 || !list[0].Gw.Equal(theirs.Gw) {
		t.Errorf("their route became %v, %v", list, err)
	}
	if _, err := k.stranger.LinkByName(row.VxlanName); err != nil {
		t.Errorf("their link: %v", err)
	}
}

// TestARangeThatWentToAnotherNode: the address that the CNI plugin gave the bridge stays where the range is ours, and goes with the first
// route to another node, of each family alone.
func TestARangeThatWentToAnotherNode(t *testing.T) {
	k := newKernel(t)
	k.want(bridge)
	b, err := k.stranger.LinkByName(row.BridgeName)
	k.must(err)
	for _, a := range []string{"10.244.1.1/24", "10.244.9.1/24", "fd01::1/64", "fd09::1/64"} {
		k.must(k.stranger.AddrAdd(b, &netlink.Addr{IPNet: ipNet(pfx(a)), Flags: unix.IFA_F_NODAD}))
	}
	routes := []row.Linux{
		row.Route{Table: row.TableMain, Dst: pfx("10.244.1.0/24"), Hops: via("10.0.0.2")},
		row.Route{Table: row.TableMain, Dst: pfx("fd01::/64"), Hops: via("fd00::2")},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.9.0/24"), Kind: row.RouteUnreachable, Metric: 65535}, // our own range
		row.Route{Table: row.TableMain, Dst: pfx("10.244.0.0/16"), Hops: via("10.0.0.2")},
	}
	for i, want := range [][]string{{"10.244.9.1/24", "fd01::1/64", "fd09::1/64"}, {"10.244.9.1/24", "fd09::1/64"}, {"10.244.9.1/24", "fd09::1/64"}, {"10.244.9.1/24", "fd09::1/64"}} {
		k.want(append([]row.Linux{bridge}, routes[:i+1]...)...)
		list, err := k.gateways(b.Attrs().Index)
		k.must(err)
		have := []string{}
		for p, a := range list {
			if !p.Addr().IsLinkLocalUnicast() {
				have = append(have, a.IPNet.String())
			}
		}
		slices.Sort(have)
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("after %s: %s", routes[i], d)
		}
	}
}

// TestARangeThatCame: the plugin has given the bridge its address before the route to where the range was is gone; it goes nevertheless.
func TestARangeThatCame(t *testing.T) {
	k := newKernel(t)
	v4 := row.Route{Table: row.TableMain, Dst: pfx("10.244.1.0/24"), Hops: via("10.0.0.2")}
	v6 := row.Route{Table: row.TableMain, Dst: pfx("fd01::/64"), Hops: via("fd00::2")}
	k.want(bridge, v4, v6)
	b, err := k.stranger.LinkByName(row.BridgeName)
	k.must(err)
	for _, a := range []string{"10.244.1.1/24", "fd01::1/64"} {
		k.must(k.stranger.AddrAdd(b, &netlink.Addr{IPNet: ipNet(pfx(a)), Flags: unix.IFA_F_NODAD}))
	}
	k.want(bridge)
	for _, a := range []string{"10.244.1.5", "fd01::5"} {
		list, err := k.stranger.RouteGet(net.ParseIP(a))
		k.must(err)
		if list[0].LinkIndex != b.Attrs().Index {
			t.Errorf("%s is looked for elsewhere: %s", a, list[0])
		}
	}
}

func TestWatchTellsWhatHarmsUs(t *testing.T) {
	k := newKernel(t)
	r := row.Route{Table: row.TableMain, Dst: pfx("10.244.2.0/24"), Hops: via("10.0.0.2")}
	rule := row.Rule{Priority: row.RulePods, Src: pfx("10.244.1.0/24"), Table: row.TablePods}
	k.want(bridge, r, rule)
	ctx, stop := context.WithCancel(t.Context())
	calls, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- k.Watch(ctx, func() { calls <- struct{}{} }) }()
	k.called(calls, "at the start")
	eth0, err := k.stranger.LinkByName("eth0")
	k.must(err)
	for name, harm := range map[string]func() error{
		"route removed": func() error { return k.stranger.RouteDel(&netlink.Route{Dst: ipNet(r.Dst)}) },
		"route replaced": func() error {
			return k.stranger.RouteReplace(&netlink.Route{Dst: ipNet(r.Dst), LinkIndex: eth0.Attrs().Index, Gw: ip("10.0.0.7").AsSlice()})
		},
		"rule removed":  func() error { return k.stranger.RuleDel(toRule(rule)) },
		"link set down": func() error { return k.stranger.LinkSetDown(eth0) },
		"bridge removed": func() error {
			return k.stranger.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: row.BridgeName}})
		},
	} {
		k.must(k.stranger.LinkSetUp(eth0))
		k.stranger.RouteDel(&netlink.Route{Dst: ipNet(r.Dst)})
		k.must(k.Apply(t.Context(), k.diff(bridge, r, rule)))
		k.quiet(calls)
		k.must(harm())
		k.called(calls, name)
	}
	k.quiet(calls)
	k.veth("pod1")
	select {
	case <-calls:
		t.Error("a new link of somebody else's made a call")
	case <-time.After(100 * time.Millisecond):
	}
	stop()
	k.must(<-ended)
}

func (k *kernel) called(calls chan struct{}, why string) {
	k.t.Helper()
	select {
	case <-calls:
	case <-time.After(5 * time.Second):
		k.t.Fatalf("no call: %s", why)
	}
}

// quiet waits until the calls of what was done before are over.
func (k *kernel) quiet(calls chan struct{}) {
	for {
		select {
		case <-calls:
		case <-time.After(100 * time.Millisecond):
			return
		}
	}
}
