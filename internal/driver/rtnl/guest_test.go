package rtnl

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

func ipip(remote string, port uint16) row.Link {
	return row.Link{
		Name: row.TunnelName(ip(remote)), Kind: row.LinkIPIP, MTU: 1480, Local: ip("10.0.0.1"), Remote: ip(remote), Port: port,
	}
}

func ip6tnl(remote string, port uint16) row.Link {
	return row.Link{
		Name: row.TunnelName(ip(remote)), Kind: row.LinkIP6Tnl, MTU: 1440, Local: ip("fd00::1"), Remote: ip(remote), Port: port,
	}
}

func through(l row.Link, dst string) row.Route {
	return row.Route{Table: row.TableMain, Dst: pfx(dst), Src: l.Local, MTU: l.MTU, Hops: row.MakeHops(row.Hop{Dev: l.Name})}
}

func TestTunnelsComeBackAsTheyWere(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	a, b := ipip("10.0.1.11", 0), ipip("10.0.11.1", 0)
	c, d := ip6tnl("fd00:1::11", 0), ip6tnl("fd00:11::1", 0)
	k.want(a, b, c, d, through(a, "10.244.2.0/24"), through(b, "10.244.3.0/24"), through(c, "fd02::/64"), through(d, "fd03::/64"))
	k.want()
}

func TestGUETunnelsAndTheirPorts(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	a, b := ipip("10.0.1.2", 5555), ip6tnl("fd00:1::2", 5555)
	rows := []row.Linux{row.FouPort{Port: 5555}, row.FouPort{Port: 5555, V6: true}, a, b, through(a, "10.244.2.0/24"), through(b, "fd02::/64")}
	k.want(rows...)
	k.must(k.Apply(t.Context(), everything(rows)))
	k.holds(rows...)
	k.want()
}

func TestAPortThatOurTunnelsUseIsOurs(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	k.must(k.addFou(netlink.Fou{Family: unix.AF_INET, Port: 7777, EncapType: netlink.FOU_ENCAP_GUE}))
	k.must(k.addFou(netlink.Fou{Family: unix.AF_INET, Port: 6666, EncapType: netlink.FOU_ENCAP_GUE}))
	k.want(row.FouPort{Port: 6666}, ipip("10.0.1.2", 6666))
	k.want()
	list, err := k.h.FouList(unix.AF_INET)
	if err != nil || len(list) != 1 || list[0].Port != 7777 {
		t.Errorf("somebody else's port: have %v, %v", list, err)
	}
}

func TestEncapsulationChangesUnderTheRoutes(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	plain, gue := ipip("10.0.1.2", 0), ipip("10.0.1.2", 5555)
	r := through(plain, "10.244.2.0/24")
	k.want(plain, r)
	k.must(k.Apply(t.Context(), everything([]row.Linux{row.FouPort{Port: 5555}, gue})))
	k.holds(row.FouPort{Port: 5555}, gue, r)
}

func TestATunnelOfTheReferenceIsReplaced(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	want := ipip("10.0.1.2", 0)
	old := want
	old.Name = "tun-e443169117a"
	k.want(old, through(old, "10.244.2.0/24"))
	k.want(want, through(want, "10.244.2.0/24"))
}

func TestATunnelOfSomebodyElseIsInTheWay(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkIPIP)
	want := ipip("10.0.1.2", 0)
	theirs := toLink(want)
	theirs.Attrs().Name = "their-tunnel"
	k.must(k.stranger.LinkAdd(theirs))
	if err := k.Apply(t.Context(), everything([]row.Linux{want})); err == nil {
		t.Error("no error")
	}
	if _, err := k.stranger.LinkByName("their-tunnel"); err != nil {
		t.Errorf("their tunnel: %v", err)
	}
}

func TestServiceAddressesOnTheDummy(t *testing.T) {
	k := newKernel(t)
	k.needs(row.LinkDummy)
	dummy := row.Link{Name: row.DummyName, Kind: row.LinkDummy}
	local := row.Route{
		Table: row.TableLocal, Dst: pfx("10.96.0.1/32"), Kind: row.RouteLocal, Src: ip("10.0.0.1"),
		Hops: row.MakeHops(row.Hop{Dev: row.DummyName}),
	}
	rows := []row.Linux{
		dummy,
		row.Addr{Dev: row.DummyName, Net: pfx("10.96.0.1/32"), NoSource: true},
		row.Addr{Dev: row.DummyName, Net: pfx("fd96::1/128"), NoSource: true},
		local,
	}
	k.want(rows...)
	k.must(k.Apply(t.Context(), everything(rows)))
	k.holds(rows...)
	if got := k.source("10.96.0.1"); !got.Equal(local.Src.AsSlice()) {
		t.Errorf("the node's own packets to a service come from %v", got)
	}
	k.veth("eth1", "10.5.0.1/24")
	local.Src = ip("10.5.0.1")
	rows[3] = local
	k.want(rows...)
	k.want()
}

// source is the address that the kernel gives the node's own packets to a destination.
func (k *kernel) source(to string) net.IP {
	k.t.Helper()
	list, err := k.stranger.RouteGet(ip(to).AsSlice())
	k.must(err)
	return list[0].Src
}
