package nft

import (
	"net/netip"
	"strings"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The chains and sets of egress gateways. Set names end in the family. A packet of a selected pod that leaves the cluster gets the mark of the
// address that it leaves from, before it is routed: rules of routing lead it to the gateway by that. There the address is written.
// Behind all translation what bears a mark passes with the right source, or on its way to the gateway, and else not at all (decision 0140).
const (
	gatewayMark    = "egress-mark"  // marks what leaves, before routing
	gatewaySource  = "egress-snat"  // writes the address
	gatewayKeep    = "egress-keep"  // lets pods of this node go to the gateway as they are
	gatewayGuard   = "egress-guard" // the last look
	gatewayLeaves  = "egress-leaves"
	gatewayRefused = "egress-refused"
	gatewayStray   = "egress-stray" // what comes for an address and belongs to no flow

	setLeavers = "egress-pods"      // pod → chain of the address it leaves from
	setHere    = "egress-here"      // this node's pod ranges
	setRanges  = "egress-ranges"    // all nodes' pod ranges
	setInside  = "egress-inside"    // what isn't outside
	setAddrs   = "egress-addresses" // to leave from, of all gateways
	setWrites  = "egress-writes"    // mark → chain that writes the address
	setRight   = "egress-right"     // mark and source that may leave
	setNext    = "egress-next"      // mark and next hop of the way to the gateway
	setTunnels = "egress-tunnels"   // mark and tunnel of that way
)

// Priorities of the base chains: the mark after Services have found their endpoint (-105) and before routing; the source before Services' and
// others' source translation (98 to 100); the look after all of it.
const (
	prioGatewayMark  = -98
	prioGatewayStray = -97
	prioGatewaySnat  = 96
	prioGatewayGuard = 110
)

// The bits of the mark: the slot of the address, and whether this node writes it.
const (
	GatewayMask  = 0x1fff0000
	gatewayWrite = 0x10000000
	gatewayShift = 16
)

// GatewayMarkOf is the mark of what goes to another node to leave from the address with that slot.
func GatewayMarkOf(slot uint32) uint32 { return slot << gatewayShift }

// Gateways renders what stands for all pods: what is the same without any gateway, and the addresses.
func Gateways(b *intent.GatewayBase, list []*intent.Leaving) []row.Nft {
	var rows []row.Nft
	var mark, source, guard, stray []row.NftBody
	rows = append(rows, ending(row.NftChain{Name: gatewayRefused}, "no gateway", dropping()...)...)
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		rows = append(rows, f.gatewaySets(b)...)
		mark = append(mark, f.leaving(row.NftTerm{Op: row.NftSaddr, V6: f.v6})...)
		last := row.NftStmt{Op: row.NftJumpTo, Chain: gatewayLeaves + f.suffix}
		guard = append(guard, body(append(f.outward(), last)...),
			body(f.is(), row.NftStmt{Op: row.NftMatchState, Num: row.NftStateInvalid | row.NftStateUntracked},
				f.lookup(row.NftSaddr, setRanges, false), f.lookup(row.NftDaddr, setInside, true), f.lookup(row.NftDaddr, hostNodes, true), last))
		source = append(source, body(f.is(), f.lookup(row.NftDaddr, setInside, true), f.lookup(row.NftDaddr, hostNodes, true),
			row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(row.NftTerm{Op: row.NftPktMark}), Set: f.writes().Name}))
		rows = append(rows, row.NftChain{Name: gatewayKeep + f.suffix})
		rows = append(rows, row.NftRules(gatewayKeep+f.suffix, body(f.is(), row.NftStmt{Op: row.NftSnatTo, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: f.v6})}))...)
		stray = append(stray, body(f.is(), f.lookup(row.NftDaddr, setAddrs, false),
			row.NftStmt{Op: row.NftMatchState, Num: row.NftStateNew | row.NftStateInvalid | row.NftStateUntracked}, counter(), dropIt()))
		rows = append(rows, row.NftChain{Name: gatewayLeaves + f.suffix})
		rows = append(rows, row.NftRules(gatewayLeaves+f.suffix, f.judgeLeaving(b)...)...)
		for _, l := range list {
			if l.Addr.Is6() == f.v6 {
				rows = append(rows, f.leave(l)...)
			}
		}
	}
	for _, c := range []struct {
		chain row.NftChain
		rules []row.NftBody
	}{
		{row.NftChain{Name: gatewayMark, Hook: row.NftPrerouting, Priority: prioGatewayMark}, mark},
		{row.NftChain{Name: gatewayStray, Hook: row.NftPrerouting, Priority: prioGatewayStray}, stray},
		{row.NftChain{Name: gatewaySource, Hook: row.NftPostrouting, Nat: true, Priority: prioGatewaySnat}, source},
		{row.NftChain{Name: gatewayGuard, Hook: row.NftPostrouting, Priority: prioGatewayGuard}, guard},
	} {
		rows = append(rows, c.chain)
		rows = append(rows, row.NftRules(c.chain.Name, c.rules...)...)
	}
	return rows
}

// Leaver renders one address of a pod: one element.
func Leaver(l intent.Leaver) []row.Nft {
	f := familyOf(l.Addr)
	return []row.Nft{f.leavers(), row.NftElement{
		Of: unique.Make(f.leavers()), Elem: string(row.NftWire{}.Addr(l.Addr)),
		Verdict: row.NftJump{Op: row.NftJumpTo, Chain: leaveChain(l.As)},
	}}
}

// LeaverKey is the key of the row of Leaver.
func LeaverKey(pod netip.Addr) row.NftKey {
	return row.NftKey{Kind: row.NftKindElement, Name: familyOf(pod).leavers().Name, Elem: string(row.NftWire{}.Addr(pod))}
}

// Names of chains know no colons.
func leaveChain(a netip.Addr) string { return "egress-as-" + strings.ReplaceAll(a.String(), ":", "-") }
func writeChain(a netip.Addr) string {
	return "egress-write-" + strings.ReplaceAll(a.String(), ":", "-")
}

func (f family) leavers() row.NftSet {
	return f.set(setLeavers, []row.NftType{f.addr}, []row.NftType{row.NftVerdict})
}

func (f family) writes() row.NftSet {
	return f.set(setWrites, []row.NftType{row.NftMark}, []row.NftType{row.NftVerdict})
}
func (f family) right() row.NftSet { return f.set(setRight, []row.NftType{row.NftMark, f.addr}, nil) }
func (f family) next() row.NftSet  { return f.set(setNext, []row.NftType{row.NftMark, f.addr}, nil) }

func (f family) tunnels() row.NftSet {
	return f.set(setTunnels, []row.NftType{row.NftMark, row.NftIfname}, nil)
}

func (f family) addresses() row.NftSet { return f.set(setAddrs, []row.NftType{f.addr}, nil) }

func (f family) lookup(term row.NftTermOp, set string, not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftLookup, Not: not, Set: set + f.suffix, Key: row.NftKeyOf(row.NftTerm{Op: term, V6: f.v6})}
}

func (f family) gatewaySets(b *intent.GatewayBase) []row.Nft {
	rows := append(f.ranges(setHere, disjoint(f, b.Here)), f.ranges(setInside, disjoint(f, b.Keep))...)
	rows = append(rows, f.ranges(setRanges, disjoint(f, b.Pods))...)
	nodes := f.set(hostNodes, []row.NftType{f.addr}, nil)
	return append(rows, nodes, f.leavers(), f.writes(), f.right(), f.next(), f.tunnels(), f.addresses())
}

// outward matches what goes out of the cluster and is no reply.
func (f family) outward() []row.NftStmt {
	return []row.NftStmt{f.is(), match(row.NftTerm{Op: row.NftCtDir}, 0), f.lookup(row.NftDaddr, setInside, true), f.lookup(row.NftDaddr, hostNodes, true)}
}

// leaving sends what goes out of the cluster to the chain of its pod's address, by the pod's own.
func (f family) leaving(pod row.NftTerm) []row.NftBody {
	return []row.NftBody{body(append(f.outward(), row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(pod), Set: f.leavers().Name})...)}
}

// leave is what one address needs.
func (f family) leave(l *intent.Leaving) []row.Nft {
	a := string(row.NftWire{}.Addr(l.Addr))
	mark, write := GatewayMarkOf(l.Slot), GatewayMarkOf(l.Slot)|gatewayWrite
	rows := []row.Nft{
		row.NftElement{Of: unique.Make(f.addresses()), Elem: a},
		row.NftElement{Of: unique.Make(f.right()), Elem: string(row.NftWire{}.Host(write)) + a},
		row.NftElement{Of: unique.Make(f.writes()), Elem: string(row.NftWire{}.Host(write)),
			Verdict: row.NftJump{Op: row.NftGotoChain, Chain: writeChain(l.Addr)}},
		row.NftChain{Name: writeChain(l.Addr)},
		row.NftChain{Name: leaveChain(l.Addr)},
	}
	rows = append(rows, row.NftRules(writeChain(l.Addr), body(row.NftStmt{Op: row.NftSnatTo, Prefix: netip.PrefixFrom(l.Addr, l.Addr.BitLen())}))...)
	set := func(n uint32) row.NftStmt { return row.NftStmt{Op: row.NftSetMark, Num: n, Mask: ^uint32(0)} }
	var rules []row.NftBody
	if except := disjoint(f, l.Except); len(except) > 0 {
		name := "egress-except-" + intent.Digest(l.Addr.String())[:16]
		rows = append(rows, f.ranges(name, except)...)
		rules = append(rules, body(f.lookup(row.NftDaddr, name, false), row.NftStmt{Op: row.NftReturn}))
	}
	if l.Here {
		rules = append(rules, body(set(write)))
	} else {
		// What pods of other nodes send here leaves from here, whoever is the gateway by our lights: theirs may be newer.
		rules = append(rules, body(f.lookup(row.NftSaddr, setHere, false), set(mark), row.NftStmt{Op: row.NftReturn}), body(set(write)))
		rows = append(rows, row.NftElement{Of: unique.Make(f.writes()), Elem: string(row.NftWire{}.Host(mark)),
			Verdict: row.NftJump{Op: row.NftGotoChain, Chain: gatewayKeep + f.suffix}})
		rows = append(rows, f.toGateway(l, mark)...)
	}
	return append(rows, row.NftRules(leaveChain(l.Addr), rules...)...)
}

// toGateway says by which way packets with a mark get to the gateway.
func (f family) toGateway(l *intent.Leaving, mark uint32) []row.Nft {
	switch {
	case l.Hop == nil:
		return nil
	case l.Hop.Tunnel == nil:
		return []row.Nft{row.NftElement{Of: unique.Make(f.next()), Elem: string(row.NftWire{}.Host(mark).Addr(l.Hop.Via))}}
	}
	return []row.Nft{row.NftElement{Of: unique.Make(f.tunnels()), Elem: string(row.NftWire{}.Host(mark).Ifname(tunnelName(l.Hop.Tunnel)))}}
}

// tunnelName is the link of a tunnel, as package render/linux makes it.
func tunnelName(t *intent.Tunnel) string {
	switch {
	case t.Encap != intent.VXLAN:
		return row.TunnelName(t.Remote)
	case t.Remote.Is6():
		return row.Vxlan6Name
	}
	return row.VxlanName
}

// judgeLeaving has the last word on what leaves the cluster.
func (f family) judgeLeaving(b *intent.GatewayBase) []row.NftBody {
	key := row.NftKeyOf
	pktMark, saddr := row.NftTerm{Op: row.NftPktMark}, row.NftTerm{Op: row.NftSaddr, V6: f.v6}
	marked := func(not bool) row.NftStmt {
		return row.NftStmt{Op: row.NftMatchNum, Key: key(pktMark), Mask: GatewayMask, Num: 0, Not: not}
	}
	in := func(set row.NftSet, terms ...row.NftTerm) row.NftStmt {
		return row.NftStmt{Op: row.NftLookup, Key: key(terms...), Set: set.Name}
	}
	accept, here := row.NftStmt{Op: row.NftAccept}, f.lookup(row.NftSaddr, setHere, false)
	list := []row.NftBody{
		// Not marked, and yet from a selected pod: what the node sends on itself (IPVS), or what begun before the pod was selected.
		body(marked(false), row.NftStmt{Op: row.NftVmap, Key: key(row.NftTerm{Op: row.NftCtSaddr, V6: f.v6}), Set: f.leavers().Name}),
		body(marked(false), row.NftStmt{Op: row.NftMatchState, Num: row.NftStateInvalid | row.NftStateUntracked}, row.NftStmt{Op: row.NftVmap, Key: key(saddr), Set: f.leavers().Name}),
		body(in(f.right(), pktMark, saddr), accept),
		body(in(f.next(), pktMark, row.NftTerm{Op: row.NftNextHop, V6: f.v6}), here, accept),
		body(in(f.tunnels(), pktMark, row.NftTerm{Op: row.NftOif}), here, accept),
		body(marked(true), goTo(gatewayRefused)),
		body(in(f.addresses(), saddr), goTo(gatewayRefused)),                                                        // it was selected once
		body(f.lookup(row.NftSaddr, setRanges, false), f.lookup(row.NftSaddr, setHere, true), goTo(gatewayRefused)), // of a pod that we don't know yet
	}
	if b.Hidden {
		list = append(list, body(here, goTo(gatewayRefused))) // it was selected once, and went on to a gateway as it is
	}
	return list
}
