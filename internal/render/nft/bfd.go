package nft

import (
	"fmt"
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The chains and sets of the guard of BFD.
const (
	bfdInput = "bfd-input"
	bfdPeers = "bfd-peers" // returns for what is a peer's
	bfdNear  = "bfd-near"  // subnets of this node
	bfdTTL   = "bfd-ttl-%d-"
)

// fullTTL is the TTL of what passed no router, where the sender gives all that there is.
const fullTTL = 255

// BFDGuard renders whose BFD packets this node takes. Nodes are elements of host-nodes (see Peer). Packets for Services have
// left for their endpoints before, which IPVS sees to within input, at 98 and 99.
func BFDGuard(g *intent.BFDGuard) []row.Nft {
	var rows []row.Nft
	var rules []row.NftBody
	back := row.NftStmt{Op: row.NftReturn}
	for _, f := range hostFamilies {
		if g.Nodes {
			rows = append(rows, f.nodesSet())
			rows = append(rows, f.set(bfdNear, f.only(g.Near))...)
			node := f.in(row.NftSaddr, hostNodes, false)
			rules = append(rules, body(f.is(), node, f.in(row.NftSaddr, bfdNear, false), f.ttl(fullTTL), back),
				body(f.is(), node, f.in(row.NftSaddr, bfdNear, true), back))
		}
		for i := 0; i < len(g.Peers); {
			ttl := g.Peers[i].MinTTL
			var list []netip.Prefix
			for ; i < len(g.Peers) && g.Peers[i].MinTTL == ttl; i++ {
				list = append(list, netip.PrefixFrom(g.Peers[i].Addr, g.Peers[i].Addr.BitLen()))
			}
			if list = f.only(list); len(list) == 0 {
				continue
			}
			name := fmt.Sprintf(bfdTTL, ttl)
			rows = append(rows, f.set(name, list)...)
			stmts := []row.NftStmt{f.is(), f.in(row.NftSaddr, name, false)}
			if ttl > 0 {
				stmts = append(stmts, f.ttl(ttl))
			}
			rules = append(rules, body(append(stmts, back)...))
		}
	}
	rows = append(rows, row.NftChain{Name: bfdPeers})
	rows = append(rows, row.NftRules(bfdPeers, append(rules, body(counter(), dropIt()))...)...)
	rows = append(rows, row.NftChain{Name: bfdInput, Hook: row.NftInput, Priority: prioTunnelHere})
	return append(rows, row.NftRules(bfdInput, body(match(row.NftTerm{Op: row.NftL4proto}, protoUDP),
		match(row.NftTerm{Op: row.NftDport}, intent.BFDPort), row.NftStmt{Op: row.NftJumpTo, Chain: bfdPeers}))...)
}

// ttl matches packets with at least that TTL.
func (f hostFamily) ttl(least uint8) row.NftStmt {
	term := row.NftTerm{Op: row.NftTTL, V6: f.v6}
	if least == fullTTL {
		return match(term, fullTTL)
	}
	return row.NftStmt{Op: row.NftMatchRange, Key: row.NftKeyOf(term), Num: uint32(least), Last: fullTTL}
}
