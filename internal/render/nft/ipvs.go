package nft

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// IpvsMarks are the firewall marks of a front on the ipvs engine, 0 for none. A front whose clients don't all
// meet the same virtual server, or whose address is not on this node, needs them (see render/ipvs).
type IpvsMarks struct {
	All  uint32 // of every packet to the front, but for those below
	Near uint32 // of packets from pods of this node and from the node itself
}

// Ipvs renders what the ipvs engine needs of nftables for one front: who is refused, whose source address is
// replaced, which packets are marked. The addresses of balancers, externalIPs and Services are guarded: what
// is sent there for another port is refused. A node's own address, said by own, never is.
func Ipvs(s *intent.Service, m IpvsMarks, own bool) []row.Nft {
	f := ipvsFamily{familyOf(s.Addr)}
	var rows []row.Nft
	if s.Kind != intent.NodeFront && !own {
		rows = append(rows, elementsOf(f.vips()).key(row.NftWire{}.Addr(s.Addr)))
	}
	if len(s.Backends) == 0 && !s.Silent {
		rows = append(rows, elementsOf(f.none()).key(frontWire(s)))
	}
	rows = append(rows, elementsOf(f.fronts()).key(frontWire(s)))
	if s.Far && len(s.Near) == 0 {
		rows = append(rows, elementsOf(f.away()).key(frontWire(s)))
	}
	rows = append(rows, f.limits(s)...)
	rows = append(rows, f.marked(s, m)...)
	if s.DSR {
		return append(rows, elementsOf(f.direct()).key(row.NftWire{}.Addr(s.Addr)))
	}
	return append(append(rows, f.masks(s)...), f.hairpins(s)...)
}

// limits are the clients that may use a front that is not for everybody; a silent one is for nobody.
func (f ipvsFamily) limits(s *intent.Service) []row.Nft {
	if len(s.Sources) == 0 && !s.Silent {
		return nil
	}
	rows := []row.Nft{elementsOf(f.limited()).key(frontWire(s))}
	if s.Silent {
		rows = append(rows, elementsOf(f.silent()).key(frontWire(s)))
	}
	e := elementsOf(f.sources())
	for _, p := range disjoint(f.family, s.Sources) {
		rows = append(rows, e.span(frontWire(s).Addr(p.Addr()), frontWire(s).Addr(lastOf(p))))
	}
	return rows
}

func (f ipvsFamily) marked(s *intent.Service, m IpvsMarks) []row.Nft {
	var rows []row.Nft
	put := func(set row.NftSet, mark uint32) {
		if mark != 0 {
			wire := row.NftWire{}.Host(mark)
			rows = append(rows, elementsOf(set).data(frontWire(s), wire), elementsOf(ipvsUsed()).key(wire))
		}
	}
	put(f.marks(), m.All)
	put(f.nearMarks(), m.Near)
	return rows
}

func (f ipvsFamily) masks(s *intent.Service) []row.Nft {
	mask := maskOf(s)
	if mask == maskNone || len(s.Backends)+len(s.Near) == 0 {
		return nil
	}
	e := elementsOf(f.masked()).key(frontWire(s))
	e.Verdict = row.NftJump{Op: row.NftGotoChain, Chain: f.maskChain(mask)}
	return append(f.maskRows(mask), e)
}

// hairpins are the endpoints of this node, twice each, as in the nftables engine: it costs nothing to let a
// pod reach itself through its Services, so it always can.
func (f ipvsFamily) hairpins(s *intent.Service) []row.Nft {
	var rows []row.Nft
	e := elementsOf(f.hairpin())
	for _, list := range [][]intent.Backend{s.Backends, s.Near} {
		for _, b := range list {
			if b.Local {
				rows = append(rows, e.key(row.NftWire{}.Addr(b.Addr).Addr(b.Addr)))
			}
		}
	}
	return rows
}

// maskRows are the chain that replaces the source address of some clients.
func (f ipvsFamily) maskRows(mask masking) []row.Nft {
	masquerade := goTo(f.hide())
	local := row.NftStmt{Op: row.NftMatchLocal, Key: row.NftKeyOf(f.saddr())}
	var rule row.NftBody
	switch mask {
	case maskOutside:
		local.Not = true
		rule = body(f.fromPods(true), local, masquerade)
	case maskNoPod:
		rule = body(f.fromPods(true), masquerade)
	case maskNode:
		rule = body(local, masquerade)
	default:
		rule = body(masquerade)
	}
	chain := f.maskChain(mask)
	return append([]row.Nft{row.NftChain{Name: chain}}, row.NftRules(chain, rule)...)
}

func (f ipvsFamily) hide() string { return "ipvs-hide-v" + f.suffix }

func (f ipvsFamily) maskChain(mask masking) string {
	return "ipvs-mask-" + string(mask) + "-v" + f.suffix
}

func (f ipvsFamily) fromPods(not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftLookup, Not: not, Key: row.NftKeyOf(f.saddr()), Set: f.pods().Name}
}
