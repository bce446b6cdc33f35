package nft

import (
	"fmt"
	"net/netip"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// chainCommon is what every tier of NetworkPolicies begins with: what passes or ends whatever policies say.
const chainCommon = "policy-common"

// Tier renders one tier as a chain for each family, and the sets that it looks peers up in; who is in
// these is rendered by Membership. A chain returns for what is accepted, so that the other end's tiers judge
// next, and ends in what becomes of the rest.
func Tier(t *intent.Tier) []row.Nft {
	var rows []row.Nft
	w := wayOfTier(t)
	begin := w.common
	if t.Level != intent.NetworkLevel {
		begin = w.errors
		if !t.Rehearsal && t.Place == intent.AtPod { // else it stands already
			rows = append(rows, ordered(t.Direction)...)
		}
	}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		f := familyOf(a)
		bodies := []row.NftBody{body(row.NftStmt{Op: row.NftJumpTo, Chain: begin})}
		for _, r := range t.Rules {
			for _, m := range r.Matches {
				stmts, sets, ok := f.match(w, m)
				if !ok {
					continue
				}
				rows = append(rows, sets...)
				bodies = append(bodies, body(append(stmts, f.end(t, r.Action)...)...))
			}
		}
		bodies = append(bodies, body(append(f.counted(t), f.end(t, t.Default)...)...))
		rows = append(rows, row.NftChain{Name: f.tierChain(t)})
		rows = append(rows, row.NftRules(f.tierChain(t), bodies...)...)
	}
	return rows
}

// counted counts what a rehearsal of NetworkPolicies refuses.
func (f family) counted(t *intent.Tier) []row.NftStmt {
	if t.Rehearsal && t.Level == intent.NetworkLevel {
		return []row.NftStmt{{Op: row.NftCounter}}
	}
	return nil
}

// end is what becomes of a packet. What Rules of ClusterNetworkPolicies decide is counted, rule by rule.
func (f family) end(t *intent.Tier, a intent.Action) (stmts []row.NftStmt) {
	w := wayOfTier(t)
	if t.Level != intent.NetworkLevel {
		stmts = append(stmts, row.NftStmt{Op: row.NftCounter})
	}
	switch {
	case a == intent.Refuse:
		return append(stmts, row.NftStmt{Op: row.NftGotoChain, Chain: w.drop})
	case a == intent.Deny:
		return append(stmts, row.NftStmt{Op: row.NftGotoChain, Chain: w.deny})
	case a == intent.Pass && t.Level == intent.AdminLevel:
		return append(stmts, row.NftStmt{Op: row.NftGotoChain, Chain: w.next})
	}
	return append(stmts, row.NftStmt{Op: row.NftReturn})
}

// match is the statements that a match takes, with the sets that they need; false: there is nothing of this family in it.
func (f family) match(w way, a intent.Match) (stmts []row.NftStmt, sets []row.Nft, _ bool) {
	if len(a.Block) > 0 {
		if a.Block[0].First.Is6() != f.v6 {
			return nil, nil, false
		}
		match, more := f.block(w, a.Block)
		stmts, sets = append(stmts, match...), append(sets, more...)
	}
	if a.Set != (intent.SetID{}) {
		s := f.peers(a.Set)
		key := row.NftKeyOf(row.NftTerm{Op: w.peer, V6: f.v6})
		if a.Set.Named {
			key = row.NftKeyOf(f.frontKey()...)
		}
		stmts, sets = append(stmts, row.NftStmt{Op: row.NftLookup, Key: key, Set: s.Name}), append(sets, s)
	}
	match, more := ports(a.Ports)
	return append(stmts, match...), append(sets, more...), true
}

// block matches a block of peers: a prefix as it is, anything else as a set of ranges named by its content.
func (f family) block(w way, spans []intent.Span) ([]row.NftStmt, []row.Nft) {
	term := row.NftTerm{Op: w.peer, V6: f.v6}
	if p, ok := prefixOf(spans); ok {
		if p.Bits() == 0 {
			return []row.NftStmt{f.is()}, nil
		}
		return []row.NftStmt{{Op: row.NftMatchNet, Key: row.NftKeyOf(term), Prefix: p}}, nil
	}
	set := row.NftSet{
		Name: "policy-block" + f.suffix + "-" + intent.Digest(fmt.Sprint(spans)),
		Keys: row.NftTypesOf(f.addr), Interval: true,
	}
	rows := []row.Nft{set}
	of := unique.Make(set)
	for _, s := range spans {
		e := row.NftElement{Of: of, Elem: string(row.NftWire{}.Addr(s.First))}
		if s.First != s.Last {
			e.Last = string(row.NftWire{}.Addr(s.Last))
		}
		rows = append(rows, e)
	}
	return []row.NftStmt{{Op: row.NftLookup, Key: row.NftKeyOf(term), Set: set.Name}}, rows
}

// prefixOf is the one prefix that spans are, if they are one.
func prefixOf(spans []intent.Span) (netip.Prefix, bool) {
	if len(spans) != 1 {
		return netip.Prefix{}, false
	}
	s := spans[0]
	for bits := range s.First.BitLen() + 1 {
		if p := netip.PrefixFrom(s.First, bits); p.Masked() == p && lastOf(p) == s.Last {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// ports matches destination ports: one range as it is, several as a set named by its content.
func ports(list []intent.PortRange) ([]row.NftStmt, []row.Nft) {
	switch len(list) {
	case 0:
		return nil, nil
	case 1:
		return portRange(list[0]), nil
	}
	set := row.NftSet{
		Name: "policy-ports-" + intent.Digest(fmt.Sprint(list)),
		Keys: row.NftTypesOf(row.NftProto, row.NftPort), Interval: true,
	}
	rows := []row.Nft{set}
	of := unique.Make(set)
	for _, r := range list {
		e := row.NftElement{Of: of, Elem: string(row.NftWire{}.Proto(r.Protocol).Port(r.First))}
		if r.First != r.Last {
			e.Last = string(row.NftWire{}.Proto(r.Protocol).Port(r.Last))
		}
		rows = append(rows, e)
	}
	key := row.NftKeyOf(row.NftTerm{Op: row.NftL4proto}, row.NftTerm{Op: row.NftDport})
	return []row.NftStmt{{Op: row.NftLookup, Key: key, Set: set.Name}}, rows
}

func portRange(r intent.PortRange) []row.NftStmt {
	stmts := []row.NftStmt{match(row.NftTerm{Op: row.NftL4proto}, uint32(r.Protocol))}
	dport := row.NftTerm{Op: row.NftDport}
	switch {
	case r.First == 0 && r.Last == 65535:
		return stmts
	case r.First == r.Last:
		return append(stmts, match(dport, uint32(r.First)))
	}
	return append(stmts, row.NftStmt{Op: row.NftMatchRange, Key: row.NftKeyOf(dport), Num: uint32(r.First), Last: uint32(r.Last)})
}
