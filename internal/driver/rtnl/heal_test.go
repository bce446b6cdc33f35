package rtnl

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// TestWhatOthersRemoveIsBackWithinASecond has no timer to help: the kernel tells, and the lane repairs.
func TestWhatOthersRemoveIsBackWithinASecond(t *testing.T) {
	k := newKernel(t)
	vx := row.Link{Name: row.VxlanName, Kind: row.LinkVxlan, MTU: 1450, MAC: row.MAC{2, 1}, Local: ip("10.0.0.1"), VNI: 77, Port: 8472}
	far := row.MakeHops(row.Hop{Via: ip("10.0.1.2"), Dev: vx.Name, Onlink: true})
	near := row.Route{Table: row.TableMain, Dst: pfx("10.244.2.0/24"), Hops: via("10.0.0.2")}
	near6 := row.Route{Table: row.TableMain, Dst: pfx("fd02::/64"), Hops: via("fd00::2")}
	rule := row.Rule{Priority: row.RulePods, Src: pfx("10.244.1.0/24"), Table: row.TablePods}
	neigh := row.Neigh{Dev: vx.Name, Addr: ip("10.0.1.2"), MAC: row.MAC{2, 2}}
	rows := []row.Linux{
		bridge, vx, near, near6, rule, neigh,
		row.Neigh{Dev: vx.Name, Addr: ip("10.0.1.2"), MAC: row.MAC{2, 2}, Fdb: true},
		row.Route{Table: row.TableMain, Dst: pfx("10.244.3.0/24"), Hops: far, Src: ip("10.0.0.1")},
		row.Route{Table: row.TablePods, Dst: pfx("10.0.1.2/32"), Hops: far},
	}
	ledger := reconcile.NewLedger[row.LinuxKey, row.Linux]()
	ledger.Claim(reconcile.Owner{Name: "test"}, rows...)
	pace := reconcile.DefaultPace
	pace.Look = 0
	lane := reconcile.NewLane[row.LinuxKey, row.Linux]("rtnl", ledger, k.Driver, pace, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- lane.Run(ctx) }()
	go func() { ended <- k.Watch(ctx, lane.Kick) }()
	defer func() { stop(); k.must(<-ended); k.must(<-ended) }()

	other, err := New(k.ns, 5555) // the lane's driver is the lane's alone
	k.must(err)
	defer other.Close()
	eye := &kernel{t, other, k.stranger}
	eye.healed(rows)
	eth0, err := k.stranger.LinkByName("eth0")
	k.must(err)
	n, err := eye.neighOf(neigh)
	k.must(err)
	for name, harm := range map[string]func() error{
		"a route goes":       func() error { return k.stranger.RouteDel(&netlink.Route{Dst: ipNet(near.Dst)}) },
		"an IPv6 route goes": func() error { return k.stranger.RouteDel(&netlink.Route{Dst: ipNet(near6.Dst)}) },
		"a rule goes":        func() error { return k.stranger.RuleDel(toRule(rule)) },
		"a tunnel goes":      func() error { return k.stranger.LinkDel(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: vx.Name}}) },
		"the MTU changes": func() error {
			return k.stranger.LinkSetMTU(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: row.BridgeName}}, 1300)
		},
		"a tunnel goes down": func() error {
			return k.stranger.LinkSetDown(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: vx.Name}})
		},
		"the uplink flaps": func() error {
			if err := k.stranger.LinkSetDown(eth0); err != nil {
				return err
			}
			if err := k.stranger.LinkSetUp(eth0); err != nil {
				return err
			}
			// Linux forgets IPv6 addresses with the link, and whoever gave them gives them again.
			return k.stranger.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(pfx("fd00::1/64")), Flags: unix.IFA_F_NODAD})
		},
		"the bridge gets an address of another node's range": func() error {
			b, err := k.stranger.LinkByName(row.BridgeName)
			if err != nil {
				return err
			}
			return errors.Join(k.stranger.AddrAdd(b, &netlink.Addr{IPNet: ipNet(pfx("10.244.2.1/24"))}),
				k.stranger.AddrAdd(b, &netlink.Addr{IPNet: ipNet(pfx("fd02::1/64"))}))
		},
		"a neighbour goes": func() error { n.LinkIndex = eye.indexOf(vx.Name); return k.stranger.NeighDel(n) },
	} {
		k.must(harm())
		time.Sleep(10 * time.Millisecond)
		t.Logf("%s: healed after %v", name, eye.healed(rows).Round(time.Millisecond))
	}
}

// healed waits for the rows for a second.
func (k *kernel) healed(rows []row.Linux) time.Duration {
	k.t.Helper()
	start := time.Now()
	for {
		missing := k.diff(rows...)
		if len(missing) == 0 {
			return time.Since(start)
		}
		if time.Since(start) > time.Second {
			k.t.Fatalf("not back after a second: %v", missing)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (k *kernel) neighOf(r row.Neigh) (*netlink.Neigh, error) {
	if err := k.learn(); err != nil {
		return nil, err
	}
	return k.neigh(r)
}

func (k *kernel) indexOf(name string) int {
	k.t.Helper()
	l, err := k.stranger.LinkByName(name)
	k.must(err)
	return l.Attrs().Index
}
