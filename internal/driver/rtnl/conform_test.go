package rtnl

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// sample makes about n rows of all kinds that every kernel has, each after what it needs.
func sample(n int) []row.Linux {
	vx := row.Link{Name: row.VxlanName, Kind: row.LinkVxlan, MTU: 1450, MAC: row.MAC{2, 1}, Local: ip("10.0.0.1"), VNI: 77, Port: 8472}
	// Addresses have a link of their own: Linux drops IPv4 routes and neighbours with the last of them.
	quiet := row.Link{Name: row.Vxlan6Name, Kind: row.LinkVxlan, MTU: 1450, MAC: row.MAC{2, 3}, Local: ip("fd00::1"), VNI: 90, Port: 8472}
	far := row.Hop{Via: ip("10.0.1.2"), Dev: vx.Name, Onlink: true}
	rows := []row.Linux{
		bridge, vx, quiet,
		row.Neigh{Dev: vx.Name, Addr: far.Via, MAC: row.MAC{2, 2}},
		row.Neigh{Dev: vx.Name, Addr: far.Via, MAC: row.MAC{2, 2}, Fdb: true},
		row.Addr{Dev: quiet.Name, Net: pfx("10.9.0.1/32"), NoSource: true},
		row.Addr{Dev: quiet.Name, Net: pfx("fd09::1/128"), NoSource: true},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.0.0/24"), Kind: row.RouteUnreachable, Metric: 65535},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.1.0/24"), Hops: row.MakeHops(far), Src: ip("10.0.0.1"), MTU: 1450},
		row.Rule{Priority: row.RulePods, Src: pfx("10.244.0.0/24"), Table: row.TablePods},
	}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 128 + byte(i>>8), byte(i), 0})
		b := netip.AddrFrom16([16]byte{0: 0xfd, 1: 2, 2: byte(i >> 8), 3: byte(i)})
		if i%2 == 0 {
			rows = append(rows, row.Route{Table: row.TableMain, Dst: netip.PrefixFrom(a, 24), Hops: via("10.0.0.2")})
		} else {
			rows = append(rows, row.Route{Table: row.TableMain, Dst: netip.PrefixFrom(b, 64), Hops: via("fd00::2")})
		}
	}
	return rows
}

// other gives a row another value.
func other(r row.Linux) (row.Linux, bool) {
	switch r := r.(type) {
	case row.Link:
		r.MTU -= 10
		if r.Kind == row.LinkVxlan {
			r.VNI++ // the link must be made anew
		}
		return r, true
	case row.Neigh:
		if r.Fdb {
			r.Addr = ip("10.0.1.9")
			return r, true
		}
		r.MAC[5]++
		return r, true
	case row.Addr:
		r.NoSource = !r.NoSource
		return r, true
	case row.Route:
		return otherRoute(r), true
	}
	return nil, false
}

func otherRoute(r row.Route) row.Route {
	switch {
	case r.Kind == row.RouteUnreachable:
		r.Kind, r.Hops = row.RouteUnicast, via("10.0.0.2")
	case r.MTU > 0:
		r.MTU, r.Src = 1400, netip.Addr{}
	case r.Dst.Addr().Is4():
		r.Hops = row.MakeHops(row.Hop{Via: ip("10.0.0.3"), Dev: "eth0"}, row.Hop{Via: ip("10.0.0.4"), Dev: "eth0"})
	default:
		r.Hops = row.MakeHops(row.Hop{Via: ip("fd00::3"), Dev: "eth0"}, row.Hop{Via: ip("fd00::4"), Dev: "eth0"})
	}
	return r
}

func bad() []row.Linux {
	return []row.Linux{
		row.Link{Name: "ours", Kind: row.LinkBridge},
		row.Link{Name: row.DummyName, Kind: row.LinkBridge},
		row.Addr{Dev: "nolink", Net: pfx("10.9.9.9/32")},
		row.Neigh{Dev: "nolink", Addr: ip("10.9.9.9"), MAC: row.MAC{2, 9}},
		row.Route{Table: row.TableMain, Dst: pfx("10.77.0.0/24"), Hops: row.MakeHops(row.Hop{Via: ip("10.0.0.2"), Dev: "nolink"})},
		row.Route{Table: row.TableMain, Dst: pfx("10.78.0.0/24"), Hops: via("10.55.0.1")},
	}
}

func TestConformance(t *testing.T) {
	var k *kernel
	conform.Target(t, conform.Config[row.LinuxKey, row.Linux]{
		World: func(t testing.TB) { k = newKernel(t) },
		Open: func(t testing.TB) row.Target[row.LinuxKey, row.Linux] {
			d, err := New(k.ns, 5555)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			return d
		},
		Rows: sample, Change: other, Bad: bad, Many: 5000,
		Foreign: func(testing.TB) func() error { return k.foreign() },
	})
}

func TestConformanceOfTheFake(t *testing.T) {
	var f *Fake
	conform.Target(t, conform.Config[row.LinuxKey, row.Linux]{
		World: func(testing.TB) {
			f = NewFake(map[string][]netip.Prefix{"eth0": {pfx("10.0.0.1/24"), pfx("fd00::1/64")}})
		},
		Open: func(testing.TB) row.Target[row.LinuxKey, row.Linux] { return f },
		Rows: sample, Change: other, Bad: bad, Many: 5000,
	})
}

// foreign makes a route, a rule, a link and an address of somebody else's.
func (k *kernel) foreign() func() error {
	eth0, err := k.stranger.LinkByName("eth0")
	k.must(err)
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Src = row.RulePods, 1000, ipNet(pfx("10.99.0.0/24"))
	k.must(k.stranger.RuleAdd(rule))
	k.must(k.stranger.RouteAdd(&netlink.Route{
		Dst: ipNet(pfx("10.244.0.0/24")), LinkIndex: eth0.Attrs().Index, Gw: ip("10.0.0.9").AsSlice(), Priority: 5, Protocol: unix.RTPROT_BGP,
	}))
	k.veth("tun-0", "10.98.0.1/24")
	count := func() string {
		links, err := k.stranger.LinkList()
		addrs, err2 := k.stranger.AddrList(nil, unix.AF_INET)
		routes, err3 := k.stranger.RouteListFiltered(unix.AF_INET, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		rules, err4 := k.stranger.RuleList(unix.AF_INET)
		k.must(errors.Join(err, err2, err3, err4))
		return fmt.Sprint(len(links), len(addrs), len(routes), len(rules))
	}
	before := count()
	return func() error {
		if after := count(); after != before {
			return fmt.Errorf("links, addresses, routes, rules: %s became %s", before, after)
		}
		return nil
	}
}
