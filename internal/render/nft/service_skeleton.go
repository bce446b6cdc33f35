package nft

import (
	"net/netip"
	"slices"

	"kube-router/internal/row"
)

// ServiceParams is what the static part of Services depends on.
type ServiceParams struct {
	IPv4, IPv6 bool
	Open       bool           // ports of Service addresses that no Service has are nobody's business (--ipvs-permit-all=false)
	Inside     []netip.Prefix // this node's pods; a reply to any other client need not come back through this node
	Self       []netip.Addr   // the addresses by which others know this node
	Best       []netip.Addr   // of each family the one by which other nodes know it, if there is one
	Sure       []netip.Addr   // those of Best that a link has
	Ports      []OwnPort      // at which kube-router itself listens on every node
}

// OwnPort is a port of kube-router itself.
type OwnPort struct {
	Proto uint8
	Port  uint16
}

// ServiceSkeleton is the part of Services that is there without any Service: sets, base chains and the
// rules that lead into the heads.
func ServiceSkeleton(p ServiceParams) []row.Nft {
	var rows []row.Nft
	var dnat, refuse, snat []row.NftBody
	for _, f := range p.families() {
		for _, s := range f.sets() {
			rows = append(rows, s)
		}
		class := row.NftStmt{Op: row.NftVmap, Data: row.NftKeyOf(f.frontKey()...), Via: f.heads().Name, Set: f.classes().Name}
		rows = append(rows, f.echoRows(p.Best)...)
		// Twice: what replaces an element or takes a class away may do so while a packet is between two steps of one look-up, or between
		// its two look-ups. It would find nothing, and be refused as if it were for nobody. A second look finds what is there now.
		dnat = append(dnat, body(f.is(), class), body(f.is(), class), f.keepRefused(), f.echo())
		refuse = append(refuse, f.refusals(p.Open)...)
		rows = append(rows, f.hiding(f.hide(), f.inside(), p)...)
		snat = append(snat, f.masqueradeMarked(), f.masqueradeHairpin())
		rows = append(rows, inside(f, p.Inside)...)
		for _, a := range p.Self {
			if a.Is6() == f.v6 {
				rows = append(rows, elementsOf(f.home()).key(row.NftWire{}.Addr(a)))
			}
		}
	}
	return slices.Concat(rows, serviceEndings(), baseChains(dnat, refuse, snat))
}

func (p ServiceParams) families() []family {
	var list []family
	if p.IPv4 {
		list = append(list, familyOf(netip.IPv4Unspecified()))
	}
	if p.IPv6 {
		list = append(list, familyOf(netip.IPv6Unspecified()))
	}
	return list
}

func baseChains(dnat, refuse, snat []row.NftBody) []row.Nft {
	rows := []row.Nft{
		row.NftChain{Name: chainPrerouting, Hook: row.NftPrerouting, Nat: true, Priority: priorityDnat},
		row.NftChain{Name: chainOutput, Hook: row.NftOutput, Nat: true, Priority: priorityDnat},
		row.NftChain{Name: chainPostrouting, Hook: row.NftPostrouting, Nat: true, Priority: prioritySnat},
		row.NftChain{Name: chainRefuse},
		row.NftChain{Name: chainRefusePrerouting, Hook: row.NftPrerouting, Priority: priorityRefuse},
		row.NftChain{Name: chainRefuseOutput, Hook: row.NftOutput, Priority: priorityRefuse},
	}
	rows = append(rows, row.NftRules(chainPrerouting, dnat...)...)
	rows = append(rows, row.NftRules(chainOutput, dnat...)...)
	rows = append(rows, row.NftRules(chainPostrouting, snat...)...)
	rows = append(rows, row.NftRules(chainRefuse, refuse...)...)
	// Packets of a connection that stands were judged when it began; they pay one comparison here. Those that somebody
	// exempts from tracking he wants to handle himself: a node's cache of DNS at the cluster's address does.
	begin := body(row.NftStmt{Op: row.NftMatchState, Not: true, Num: row.NftStateEstablished | row.NftStateRelated | row.NftStateUntracked},
		row.NftStmt{Op: row.NftJumpTo, Chain: chainRefuse})
	for _, c := range []string{chainRefusePrerouting, chainRefuseOutput} {
		rows = append(rows, row.NftRules(c, begin)...)
	}
	return rows
}

// refusals end at once what no endpoint will answer: TCP by a reset, which firewalls between pass more
// readily than ICMP and the kernel doesn't limit, all else by port unreachable. They come after destination
// NAT, so that an address that is still a front's was not served. Where it is open, fronts without endpoints alone
// are refused.
func (f family) refusals(open bool) []row.NftBody {
	none := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Set: f.none().Name}
	vips := f.unserved()
	rows := []row.NftBody{body(f.is(), none, goTo(chainNoEndpoint))}
	if open {
		return rows
	}
	return append(rows, body(append(vips, goTo(chainNoPort))...))
}

// unserved matches what is for an address of Services that is none of a node's own: neither this one's, where a cache
// of DNS may listen at the cluster's, nor another's, whose ports are its own.
func (f family) unserved() []row.NftStmt {
	return slices.Clip([]row.NftStmt{f.is(),
		{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: f.vips().Name},
		{Op: row.NftMatchLocal, Not: true, Key: row.NftKeyOf(f.daddr())},
		{Op: row.NftLookup, Not: true, Key: row.NftKeyOf(f.daddr()), Set: f.set(hostNodes, []row.NftType{f.addr}, nil).Name}})
}

// echo lets this node answer whoever asks whether an address of Services is there (echo request), as IPVS does with the
// address on the node: there is no backend for that.
func (f family) echo() row.NftBody {
	kind := match(row.NftTerm{Op: row.NftICMPType, V6: f.v6}, f.echoRequest())
	to := row.NftStmt{Op: row.NftDnatTo, Num: 1, Key: row.NftKeyOf(row.NftTerm{Op: row.NftL4proto, V6: f.v6}), Set: f.echoes().Name}
	return body(append(f.unserved(), kind, to)...)
}

func (f family) echoRequest() uint32 {
	if f.v6 {
		return 128
	}
	return 8
}

// echoes has the address of this node that answers.
func (f family) echoes() row.NftSet {
	return f.set("services-echo", []row.NftType{row.NftProto}, []row.NftType{f.addr})
}

func (f family) echoRows(best []netip.Addr) []row.Nft {
	rows := []row.Nft{f.echoes(), f.set(hostNodes, []row.NftType{f.addr}, nil)}
	proto := uint8(protoICMP)
	if f.v6 {
		proto = protoICMP6
	}
	for _, a := range best {
		if a.Is6() == f.v6 {
			rows = append(rows, elementsOf(f.echoes()).data(row.NftWire{}.Proto(proto), row.NftWire{}.Addr(a)))
		}
	}
	return rows
}

// keep is a destination NAT that changes nothing. A connection gets but one, so others' rules, for host ports for example,
// don't take it.
func (f family) keep() row.NftStmt {
	return row.NftStmt{Op: row.NftDnatTo, Key: row.NftKeyOf(f.daddr())}
}

// keepRefused keeps connections to fronts without an endpoint, which are refused thereafter, from a pod that has the port
// of a node's address for its host port: it is the Service's, endpoints or not.
func (f family) keepRefused() row.NftBody {
	none := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Set: f.none().Name}
	return body(f.is(), none, f.keep())
}

// masqueradeMarked replaces the source of what a chain of Services has marked. The mark goes, so that an
// encapsulated copy of the packet, which inherits it, isn't judged again.
func (f family) masqueradeMarked() row.NftBody {
	marked := match(row.NftTerm{Op: row.NftPktMark}, MasqueradeMark)
	marked.Mask = MasqueradeMark
	return body(f.is(), marked, row.NftStmt{Op: row.NftSetMark, Mask: MasqueradeMark}, goTo(f.hide()))
}

// hide is the chain that gives packets another source address.
func (f family) hide() string { return "services-hide-v" + f.suffix }

// hiding are the rules of such a chain. Masquerading takes an address of the link by which a packet leaves. Tunnels
// have none; then the kernel takes the first that it finds on any link, be it one to which the other node knows
// no way. So there the address is said: that by which nodes know this one.
//
// It also is towards other nodes' pods, and for pods towards nodes, by whatever link: a masqueraded connection ends when its packets leave by
// another link than the first did (nf_nat_oif_changed), and where encryption or a tunnel begins or ceases they do.
//
// Nodes trust each other's addresses at the ports of kube-router itself. So nobody else gets one on his way there:
// a Service may have any endpoint.
func (f family) hiding(chain string, pods row.NftSet, p ServiceParams) []row.Nft {
	var rules []row.NftBody
	ports := row.NftSet{Name: "services-own-ports", Keys: row.NftTypesOf(row.NftProto, row.NftPort)}
	nodes, away := f.set(hostNodes, []row.NftType{f.addr}, nil), f.away()
	rows := []row.Nft{ports, nodes, away, row.NftChain{Name: chain}}
	for _, o := range p.Ports {
		rows = append(rows, elementsOf(ports).key(row.NftWire{}.Proto(o.Proto).Port(o.Port)))
	}
	rules = append(rules, body(f.is(),
		row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(row.NftTerm{Op: row.NftL4proto}, row.NftTerm{Op: row.NftDport}), Set: ports.Name},
		row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: nodes.Name},
		row.NftStmt{Op: row.NftMatchLocal, Not: true, Key: row.NftKeyOf(f.saddr())}, row.NftStmt{Op: row.NftCounter}, row.NftStmt{Op: row.NftDropPkt}))
	for _, a := range p.Best {
		for _, link := range []string{"tun-*", row.VxlanName + "*", row.WireName} {
			if a.Is6() == f.v6 {
				leaves := row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftOif}), Text: link}
				rules = append(rules, body(f.is(), leaves, as(a)))
			}
		}
	}
	for _, a := range p.Sure {
		if a.Is6() == f.v6 {
			rules = append(rules,
				body(f.is(), row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: away.Name}, as(a)),
				body(f.is(), row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: nodes.Name},
					row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr()), Set: pods.Name}, as(a)))
		}
	}
	rules = append(rules, body(row.NftStmt{Op: row.NftMasquerade}))
	return append(rows, row.NftRules(chain, rules...)...)
}

// as gives a packet an address for its source, and any free port, as masquerading does.
func as(a netip.Addr) row.NftStmt {
	return row.NftStmt{Op: row.NftSnatTo, Prefix: netip.PrefixFrom(a, a.BitLen()), Num: 1}
}

// away are the ranges of other nodes' pods.
func (f family) away() row.NftSet {
	s := f.set(hostAway, []row.NftType{f.addr}, nil)
	s.Interval = true
	return s
}

func goTo(chain string) row.NftStmt { return row.NftStmt{Op: row.NftGotoChain, Chain: chain} }

func (f family) masqueradeHairpin() row.NftBody {
	return body(f.is(),
		row.NftStmt{Op: row.NftMatchStatus, Num: row.NftStatusDNAT},
		row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr(), f.daddr()), Set: f.hairpin().Name},
		row.NftStmt{Op: row.NftMasquerade})
}

func inside(f family, blocks []netip.Prefix) []row.Nft {
	var rows []row.Nft
	e := elementsOf(f.inside())
	for _, p := range disjoint(f, blocks) {
		rows = append(rows, e.span(row.NftWire{}.Addr(p.Addr()), row.NftWire{}.Addr(lastOf(p))))
	}
	return rows
}
