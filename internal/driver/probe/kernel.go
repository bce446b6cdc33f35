package probe

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Facility is something that a kernel can or can't.
type Facility string

// The facilities that are probed.
const (
	Nftables    Facility = "nftables"
	Conntrack   Facility = "conntrack"
	IPVS        Facility = "ipvs"
	Bridge      Facility = "bridge"
	Veth        Facility = "veth"
	Dummy       Facility = "dummy"
	IPIP        Facility = "ipip"
	IP6Tnl      Facility = "ip6tnl"
	FOU         Facility = "fou"
	VXLAN       Facility = "vxlan"
	Rules       Facility = "policy routing"
	BrNetfilter Facility = "br_netfilter"
)

// Kernel tries every facility; the error says why one can't be used. It needs root.
func Kernel() (map[Facility]error, error) {
	type answer struct {
		can map[Facility]error
		err error
	}
	done := make(chan answer, 1)
	go func() {
		// The thread is never unlocked: it ends with this goroutine, and its namespace with it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- answer{err: fmt.Errorf("make a network namespace to try things in: %w", err)}
			return
		}
		can := map[Facility]error{}
		for f, try := range tries() {
			can[f] = try()
		}
		done <- answer{can: can}
	}()
	a := <-done
	return a.can, a.err
}

// tries are one trial for each facility, made in the network namespace of the calling thread.
func tries() map[Facility]func() error {
	local, remote := net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)
	local6, remote6 := net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
	named := func(name string) netlink.LinkAttrs { a := netlink.NewLinkAttrs(); a.Name = name; return a }
	return map[Facility]func() error{
		Nftables:  tryNftables,
		Conntrack: func() error { _, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET); return err },
		IPVS:      func() error { _, err := netlink.GenlFamilyGet("IPVS"); return err },
		FOU:       func() error { _, err := netlink.GenlFamilyGet("fou"); return err },
		Bridge:    func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: named("pbridge")}) },
		Veth:      func() error { return netlink.LinkAdd(&netlink.Veth{LinkAttrs: named("pveth"), PeerName: "ppeer"}) },
		Dummy:     func() error { return netlink.LinkAdd(&netlink.Dummy{LinkAttrs: named("pdummy")}) },
		IPIP: func() error {
			return netlink.LinkAdd(&netlink.Iptun{LinkAttrs: named("pipip"), Local: local, Remote: remote})
		},
		IP6Tnl: func() error {
			return netlink.LinkAdd(&netlink.Ip6tnl{LinkAttrs: named("pip6tnl"), Local: local6, Remote: remote6})
		},
		VXLAN: func() error {
			return netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: named("pvxlan"), VxlanId: 77, Port: 8472})
		},
		Rules: func() error {
			r := netlink.NewRule()
			r.Priority, r.Table, r.Family = 32000, 77, unix.AF_INET
			return netlink.RuleAdd(r)
		},
		// The module adds the setting. Whether a namespace has bridges doesn't matter.
		BrNetfilter: func() error { _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); return err },
	}
}

// tryNftables makes a table with what our rules are built of: a NAT chain for both families, a random number
// and a look into the routing table.
func tryNftables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Name: "probe", Family: nftables.TableFamilyINet})
	nat := c.AddChain(&nftables.Chain{
		Name: "nat", Table: t, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	c.AddRule(&nftables.Rule{Table: t, Chain: nat, Exprs: []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Numgen{Register: 1, Type: unix.NFT_NG_RANDOM, Modulus: 2},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	return c.Flush()
}
