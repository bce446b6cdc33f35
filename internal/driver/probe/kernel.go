package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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

// Modules tells what is known of the kernel's modules.
type Modules interface {
	// Safe is true where using what the module brings loads nothing.
	Safe(module string) bool
	// Has is true where the kernel has the module, loaded or not; the error says why that can't be told.
	Has(module string) (bool, error)
}

// ErrNotLoaded says of a facility that the kernel has it as a module and loads it on first use. It was not tried, for that
// would have loaded it.
var ErrNotLoaded = errors.New("its module is not loaded yet")

// ErrUnknown says of a facility that it can't be told whether the kernel has it, without loading it.
var ErrUnknown = errors.New("not loaded")

// Kernel tries every facility whose use loads no module; the error says why one can't be used, or why it was not tried.
// It needs root. The node is left as it is: a module's tunnel, say, would make tunl0 in every network namespace.
func Kernel(m Modules) (map[Facility]error, error) {
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
		for f, t := range trials() {
			can[f] = t.judge(m)
		}
		done <- answer{can: can}
	}()
	a := <-done
	return a.can, a.err
}

// trial tries one facility.
type trial struct {
	modules []string             // those that using it would load
	there   func() (bool, error) // a question that loads nothing: is the facility registered? nil: there is none
	try     func() error
}

// judge tries the facility if that loads nothing.
func (t trial) judge(m Modules) error {
	if t.there != nil {
		if yes, err := t.there(); yes || err != nil {
			return errors.Join(err, t.try())
		}
	}
	for _, module := range t.modules {
		if m.Safe(module) {
			continue
		}
		has, err := m.Has(module)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %s; %w", ErrUnknown, module, err)
		case !has:
			return fmt.Errorf("this kernel has no module %s", module)
		}
		return fmt.Errorf("%w: %s", ErrNotLoaded, module)
	}
	return t.try()
}

// trials are one trial for each facility, made in the network namespace of the calling thread.
func trials() map[Facility]trial {
	local, remote := net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)
	local6, remote6 := net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
	named := func(name string) netlink.LinkAttrs { a := netlink.NewLinkAttrs(); a.Name = name; return a }
	return map[Facility]trial{
		Nftables: {modules: []string{"nf_tables", "nft_chain_nat", "nft_fib_inet", "nft_numgen"}, try: tryNftables},
		Conntrack: {modules: []string{"nf_conntrack_netlink"}, try: func() error {
			_, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
			return err
		}},
		IPVS:   generic("ip_vs", "IPVS"),
		FOU:    generic("fou", "fou"),
		Bridge: link("bridge", &netlink.Bridge{LinkAttrs: named("pbridge")}),
		Veth:   link("veth", &netlink.Veth{LinkAttrs: named("pveth"), PeerName: "ppeer"}),
		Dummy:  link("dummy", &netlink.Dummy{LinkAttrs: named("pdummy")}),
		IPIP:   link("ipip", &netlink.Iptun{LinkAttrs: named("pipip"), Local: local, Remote: remote}),
		IP6Tnl: link("ip6_tunnel", &netlink.Ip6tnl{LinkAttrs: named("pip6tnl"), Local: local6, Remote: remote6}),
		VXLAN:  link("vxlan", &netlink.Vxlan{LinkAttrs: named("pvxlan"), VxlanId: 77, Port: 8472}),
		Rules: {try: func() error {
			r := netlink.NewRule()
			r.Priority, r.Table, r.Family = 32000, 77, unix.AF_INET
			return netlink.RuleAdd(r)
		}},
		// The module adds the setting. Whether a namespace has bridges doesn't matter.
		BrNetfilter: {try: func() error { _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); return err }},
	}
}

// generic is the trial of a family of generic netlink. Asking for one by name loads its module; listing all doesn't.
func generic(module, family string) trial {
	return trial{
		modules: []string{module},
		there: func() (bool, error) {
			all, err := netlink.GenlFamilyList()
			return slices.ContainsFunc(all, func(f *netlink.GenlFamily) bool { return f.Name == family }), err
		},
		try: func() error { _, err := netlink.GenlFamilyGet(family); return err },
	}
}

// link is the trial of a kind of link.
func link(module string, l netlink.Link) trial {
	return trial{
		modules: []string{module},
		there:   func() (bool, error) { return registered(l.Type()) },
		try:     func() error { return netlink.LinkAdd(l) },
	}
}

// registered is true for a kind of link that the kernel knows now. It asks for the links of that kind in this new namespace
// (rtnetlink(7), Linux 4.6): of a kind that it doesn't know the kernel takes no notice, and lists lo as well.
func registered(kind string) (bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	req.AddData(info)
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return false, fmt.Errorf("list links of kind %s: %w", kind, err)
	}
	for _, m := range list {
		if nl.DeserializeIfInfomsg(m).Type == unix.ARPHRD_LOOPBACK {
			return false, nil
		}
	}
	return true, nil
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
