package nft

import (
	"slices"

	"kube-router/internal/row"
)

// IpvsParams is what the static part of the ipvs engine's rules depends on.
type IpvsParams struct {
	ServiceParams
	MTU int // of the links of pods, for the segment size of direct server return; 0: unknown
}

// IpvsSkeleton is the part of the ipvs engine's rules that is there without any Service.
func IpvsSkeleton(p IpvsParams) []row.Nft {
	rows := []row.Nft{ipvsUsed()}
	var marking, keep, refuse, limited, snat, clamp []row.NftBody
	for _, plain := range p.families() {
		f := ipvsFamily{plain}
		for _, s := range f.sets() {
			rows = append(rows, s)
		}
		e := elementsOf(f.pods())
		for _, b := range disjoint(plain, p.Inside) {
			rows = append(rows, e.span(row.NftWire{}.Addr(b.Addr()), row.NftWire{}.Addr(lastOf(b))))
		}
		rows = append(rows, f.hiding(f.hide(), f.pods(), p.ServiceParams)...)
		marking = append(marking, f.marking()...)
		keep = append(keep, f.keeping()...)
		refuse = append(refuse, f.ipvsRefusals(!p.Open)...)
		limited = append(limited, body(f.is(), row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Set: f.silent().Name}, goTo(chainNoLocal)))
		snat = append(snat, f.masquerading()...)
		if p.MTU > 0 {
			clamp = append(clamp, f.clamp(p.MTU))
		}
	}
	rows = append(rows, row.NftChain{Name: chainLimited})
	rows = append(rows, row.NftRules(chainLimited, append(limited, body(goTo(chainSource)))...)...)
	rows = slices.Concat(rows, serviceEndings(), keepChains(keep))
	return append(rows, ipvsChains(marking, refuse, snat, clamp)...)
}

// keepChains are where what is a Service's stays so: nat chains of others come after them.
func keepChains(keep []row.NftBody) []row.Nft {
	rows := []row.Nft{
		row.NftChain{Name: ipvsKeepPrerouting, Hook: row.NftPrerouting, Nat: true, Priority: priorityKeep},
		row.NftChain{Name: ipvsKeepOutput, Hook: row.NftOutput, Nat: true, Priority: priorityKeep},
	}
	rows = append(rows, row.NftRules(ipvsKeepPrerouting, keep...)...)
	return append(rows, row.NftRules(ipvsKeepOutput, keep...)...)
}

// keeping takes what is a Service's out of the hands of others' destination NAT. Every address of a Service is local on
// this node, so rules for host ports, which are about whatever is local (the portmap plugin's, Docker's), would take its
// connections before IPVS sees them (CVE-2019-9946). A connection gets one destination NAT: the first, which is this one,
// and it changes nothing. The addresses that are no node's are kept with all their ports.
func (f ipvsFamily) keeping() []row.NftBody {
	front := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Set: f.fronts().Name}
	vip := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: f.vips().Name}
	return []row.NftBody{body(f.is(), front, f.keep()), body(f.is(), vip, f.keep())}
}

func ipvsChains(marking, refuse, snat, clamp []row.NftBody) []row.Nft {
	rows := []row.Nft{
		row.NftChain{Name: ipvsMarking},
		row.NftChain{Name: ipvsRefuse},
		row.NftChain{Name: ipvsPrerouting, Hook: row.NftPrerouting, Priority: priorityRefuse},
		row.NftChain{Name: ipvsOutput, Hook: row.NftOutput, Priority: priorityRefuse},
		row.NftChain{Name: ipvsPostrouting, Hook: row.NftPostrouting, Nat: true, Priority: prioritySnat},
		row.NftChain{Name: ipvsUnmark, Hook: row.NftPostrouting, Priority: priorityMangle},
		row.NftChain{Name: ipvsSent, Hook: row.NftOutput, Priority: priorityMangle},
		row.NftChain{Name: dsrClamp, Hook: row.NftPrerouting, Priority: priorityMangle},
	}
	mark := row.NftStmt{Op: row.NftJumpTo, Chain: ipvsMarking}
	begins := row.NftStmt{Op: row.NftMatchState, Not: true, Num: row.NftStateEstablished | row.NftStateRelated | row.NftStateUntracked}
	for _, c := range []string{ipvsPrerouting, ipvsOutput} {
		rows = append(rows, row.NftRules(c, body(begins, row.NftStmt{Op: row.NftJumpTo, Chain: ipvsRefuse}), body(mark))...)
	}
	// A mark that stayed on would send the outer packet of a tunnel, which inherits it, back to this node.
	used := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(row.NftTerm{Op: row.NftPktMark}), Set: ipvsUsed().Name}
	rows = append(rows, row.NftRules(ipvsUnmark, body(used, row.NftStmt{Op: row.NftSetMark, Mask: IpvsMarkMask}))...)
	// What IPVS has sent on comes through output, where NAT routes anew whatever has another destination than its client
	// meant. With its mark it would come back to this node. The node's own packets have no mark yet.
	rows = append(rows, row.NftRules(ipvsSent, body(used, row.NftStmt{Op: row.NftSetMark, Mask: IpvsMarkMask}))...)
	rows = append(rows, row.NftRules(ipvsMarking, marking...)...)
	rows = append(rows, row.NftRules(ipvsRefuse, refuse...)...)
	rows = append(rows, row.NftRules(ipvsPostrouting, snat...)...)
	return append(rows, row.NftRules(dsrClamp, clamp...)...)
}

// marking marks every packet to a front that has marks, not the first alone: routing must bring all of them
// here. The later rules overrule the first.
func (f ipvsFamily) marking() []row.NftBody {
	from := func(set row.NftSet) row.NftStmt {
		return row.NftStmt{Op: row.NftMarkFrom, Key: row.NftKeyOf(f.frontKey()...), Set: set.Name}
	}
	local := row.NftStmt{Op: row.NftMatchLocal, Key: row.NftKeyOf(f.saddr())}
	return []row.NftBody{
		body(f.is(), from(f.marks())),
		body(f.is(), f.fromPods(false), from(f.nearMarks())),
		body(f.is(), local, from(f.nearMarks())),
	}
}

// ipvsRefusals end what no virtual server is to see.
func (f ipvsFamily) ipvsRefusals(guard bool) []row.NftBody {
	in := func(set row.NftSet, not bool) row.NftStmt {
		return row.NftStmt{Op: row.NftLookup, Not: not, Key: row.NftKeyOf(f.frontKey()...), Set: set.Name}
	}
	client := row.NftStmt{Op: row.NftLookup, Not: true, Key: row.NftKeyOf(f.frontKey(f.saddr())...), Set: f.sources().Name}
	local := row.NftStmt{Op: row.NftMatchLocal, Not: true, Key: row.NftKeyOf(f.saddr())}
	rules := []row.NftBody{
		body(f.is(), in(f.none(), false), goTo(chainNoEndpoint)),
		body(f.is(), in(f.limited(), false), client, goTo(chainLimited)),
		body(f.is(), in(f.away(), false), f.fromPods(true), local, goTo(chainNoLocal)),
	}
	if !guard {
		return rules
	}
	icmp := uint32(1)
	if f.v6 {
		icmp = 58
	}
	vip := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: f.vips().Name}
	ping := match(row.NftTerm{Op: row.NftL4proto}, icmp)
	return append(rules,
		body(f.is(), ping, row.NftStmt{Op: row.NftMatchLocal, Key: row.NftKeyOf(f.daddr())}, row.NftStmt{Op: row.NftReturn}),
		body(f.is(), in(f.fronts(), false), row.NftStmt{Op: row.NftReturn}),
		body(f.is(), vip, goTo(chainNoPort)))
}

// masquerading judges the first packet of each connection that IPVS has sent on. The connection's own record
// (ct original) tells which front the client meant; the packet is for an endpoint already. A client that has
// an address of a Service for its source is this node, and would wait for replies that stay with the pods.
func (f ipvsFamily) masquerading() []row.NftBody {
	meant := []row.NftTerm{{Op: row.NftCtDaddr, V6: f.v6}, {Op: row.NftL4proto}, {Op: row.NftCtDport}}
	served := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(meant...), Set: f.fronts().Name}
	itself := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr(), f.daddr()), Set: f.hairpin().Name}
	vip := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr()), Set: f.vips().Name}
	return []row.NftBody{
		body(f.is(), itself, served, row.NftStmt{Op: row.NftMasquerade}),
		body(f.is(), vip, served, goTo(f.hide())),
		body(f.is(), row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(meant...), Set: f.masked().Name}),
	}
}

// clamp lowers the segment size that a pod offers to clients which it answers directly. Their packets reach it
// inside another IP packet, and must still fit.
func (f ipvsFamily) clamp(mtu int) row.NftBody {
	overhead := 20 + 20 + 20 // outer IP, inner IP, TCP
	if f.v6 {
		overhead = 40 + 40 + 20
	}
	return body(f.is(),
		row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr()), Set: f.direct().Name},
		row.NftStmt{Op: row.NftMatchNum, Key: row.NftKeyOf(row.NftTerm{Op: row.NftTCPFlags}), Num: 2, Mask: 2},
		row.NftStmt{Op: row.NftMSS, Num: uint32(mtu - overhead)})
}
