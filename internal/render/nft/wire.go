package nft

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The chains and sets of what must not be on the wire in clear.
const (
	wireOut   = "wire-out" // what leaves, behind every translation
	wireIn    = "wire-in"  // what comes, before any
	wirePods  = "wire-pods"
	wireOwn   = "wire-own"
	wireClear = "wire-clear"
)

// prioWireOut is behind source translation (100), whoever does it.
const prioWireOut = 300

// WireGuardian renders what becomes of packets in clear between this node's pods and other nodes, and between this node and other
// nodes' pods: whatever route, Service, tunnel or proxy leads there, it ends or is counted at the last moment.
func WireGuardian(g *intent.WireGuardian) []row.Nft {
	var rows []row.Nft
	out := []row.NftBody{body(leavesBy(row.WireName), row.NftStmt{Op: row.NftReturn})}
	in := []row.NftBody{body(arrivesBy(row.WireName), row.NftStmt{Op: row.NftReturn})}
	ends := func(matches ...row.NftStmt) row.NftBody {
		if g.Drop {
			return body(append(matches, counter(), goTo(wireClear))...)
		}
		return body(append(matches, counter())...)
	}
	for _, f := range hostFamilies {
		if f.v6 && !g.V6 || !f.v6 && !g.V4 {
			continue
		}
		rows = append(rows, f.set(wirePods, f.only(g.Pods))...)
		rows = append(rows, f.set(wireOwn, f.only(g.Own))...)
		rows = append(rows, f.nodesSet())
		here := row.NftStmt{Op: row.NftMatchLocal, Not: true, Key: row.NftKeyOf(row.NftTerm{Op: row.NftDaddr, V6: f.v6})}
		out = append(out,
			ends(f.is(), f.in(row.NftDaddr, wirePods, false), f.in(row.NftDaddr, wireOwn, true)),
			ends(f.is(), f.in(row.NftSaddr, wireOwn, false), f.in(row.NftDaddr, hostNodes, false), here))
		in = append(in, ends(f.is(), f.in(row.NftSaddr, wirePods, false), f.in(row.NftSaddr, wireOwn, true)))
	}
	if g.Drop {
		rows = append(rows, ending(row.NftChain{Name: wireClear}, "clear", dropping()...)...)
	}
	rows = append(rows, row.NftChain{Name: wireOut, Hook: row.NftPostrouting, Priority: prioWireOut})
	rows = append(rows, row.NftRules(wireOut, out...)...)
	rows = append(rows, row.NftChain{Name: wireIn, Hook: row.NftPrerouting, Priority: prioArrived})
	return append(rows, row.NftRules(wireIn, in...)...)
}

// WireChains are the chains whose rules count what was in clear, each with the direction as metrics name it.
func WireChains() map[string]string { return map[string]string{wireOut: "out", wireIn: "in"} }

func leavesBy(link string) row.NftStmt {
	return row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftOif}), Text: link}
}
