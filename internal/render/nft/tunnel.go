package nft

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The chains and sets of the tunnels' guard.
const (
	tunnelArrived = "tunnel-arrived" // what came out of a tunnel
	tunnelInside  = "tunnel-inside"
	tunnelInput   = "tunnel-input" // what is for a tunnel of this node
	tunnelHere    = "tunnel-here"
	tunnelForward = "tunnel-forward" // what is for a tunnel of another node
	tunnelBy      = "tunnel-by"
	tunnelOutput  = "tunnel-output" // the same, from this node or sent on by IPVS
	tunnelSent    = "tunnel-sent"
	tunnelOwn     = "tunnel-own"
)

// Priorities of the guard's base chains: what comes out of a tunnel is judged before it is tracked, what goes to one once
// Services have translated it, which IPVS does within input, at 98 and 99.
const (
	prioArrived    = -300
	prioTunnel     = -5
	prioTunnelHere = 110
)

// TunnelGuard renders who may speak to tunnels. Its rules are the same whichever nodes there are; these are elements of
// host-nodes (see Peer). Pods, and whoever comes through a Service, hear that a tunnel's port is closed; strangers hear nothing.
func TunnelGuard(g *intent.TunnelGuard) []row.Nft {
	var rows []row.Nft
	var to, toNode, inside, here, by []row.NftBody
	for _, f := range hostFamilies {
		rows = append(rows, f.set(tunnelOwn, f.only(g.Own))...)
		inside = append(inside, body(f.is(), f.in(row.NftSaddr, tunnelOwn, false), counter(), dropIt()), body(f.is(), f.local(false), counter(), dropIt()))
		if f.v6 && !g.V6 || !f.v6 && !g.V4 {
			continue
		}
		rows = append(rows, f.nodesSet())
		for _, proto := range f.encapsulated(g) {
			to = append(to, body(append(proto, row.NftStmt{Op: row.NftJumpTo, Chain: tunnelHere})...))
			toNode = append(toNode, body(append(proto, f.in(row.NftDaddr, hostNodes, false))...))
		}
		here = append(here, f.sentOn(g)...)
		here = append(here, body(f.is(), f.local(false), counter(), dropIt()))
		if g.Port != 0 { // without a port the kernel itself takes what comes from a tunnel's other end alone
			here = append(here, body(f.is(), f.in(row.NftSaddr, hostNodes, false), f.in(row.NftDaddr, hostNodes, false), row.NftStmt{Op: row.NftReturn}))
		}
		by = append(by, body(f.is(), f.in(row.NftSaddr, hostNodes, true), counter(), dropIt()))
	}
	if g.Port != 0 {
		here = append(here, body(counter(), dropIt()))
	}
	return append(rows, guardChains(g, to, toNode, inside, here, by)...)
}

// guardChains puts the rules into chains.
func guardChains(g *intent.TunnelGuard, to, toNode, inside, here, by []row.NftBody) []row.Nft {
	device := "tun-*"
	if g.Encap == intent.VXLAN {
		device = row.VxlanName + "*"
	}
	translated := body(row.NftStmt{Op: row.NftMatchStatus, Num: row.NftStatusDNAT}, counter(), row.NftStmt{Op: row.NftReject})
	refused := []row.NftBody{body(arrivesBy(row.BridgeName), counter(), row.NftStmt{Op: row.NftReject}), translated}
	sent := []row.NftBody{translated}
	for _, f := range hostFamilies {
		sent = append(sent, body(f.is(), f.local(true), counter(), row.NftStmt{Op: row.NftReject}))
	}
	var rows []row.Nft
	for _, c := range []struct {
		chain row.NftChain
		rules []row.NftBody
	}{
		{row.NftChain{Name: tunnelInside}, inside},
		{row.NftChain{Name: tunnelHere}, append(refused[:2:2], here...)},
		{row.NftChain{Name: tunnelBy}, append(refused[:2:2], by...)},
		{row.NftChain{Name: tunnelSent}, sent},
		{row.NftChain{Name: tunnelArrived, Hook: row.NftPrerouting, Priority: prioArrived},
			[]row.NftBody{body(arrivesBy(device), row.NftStmt{Op: row.NftJumpTo, Chain: tunnelInside})}},
		{row.NftChain{Name: tunnelInput, Hook: row.NftInput, Priority: prioTunnelHere}, to},
		{row.NftChain{Name: tunnelForward, Hook: row.NftForward, Priority: prioTunnel}, jumping(toNode, tunnelBy)},
		{row.NftChain{Name: tunnelOutput, Hook: row.NftOutput, Priority: prioTunnel}, jumping(toNode, tunnelSent)},
	} {
		rows = append(rows, c.chain)
		rows = append(rows, row.NftRules(c.chain.Name, c.rules...)...)
	}
	return rows
}

// encapsulated matches packets of tunnels over a family: by port, or by their protocols (RFC 2003, RFC 2473).
func (f hostFamily) encapsulated(g *intent.TunnelGuard) [][]row.NftStmt {
	proto := func(n uint32) row.NftStmt { return match(row.NftTerm{Op: row.NftL4proto}, n) }
	switch {
	case g.Port != 0:
		return [][]row.NftStmt{{f.is(), proto(protoUDP), match(row.NftTerm{Op: row.NftDport}, uint32(g.Port))}}
	case f.v6:
		return [][]row.NftStmt{{f.is(), proto(protoIPv6)}, {f.is(), proto(protoIPIP)}}
	}
	return [][]row.NftStmt{{f.is(), proto(protoIPIP)}}
}

// sentOn refuses what IPVS has sent on: its connection (ct original) was meant for somewhere else.
func (f hostFamily) sentOn(g *intent.TunnelGuard) []row.NftBody {
	meant := row.NftStmt{Op: row.NftLookup, Not: true, Key: row.NftKeyOf(row.NftTerm{Op: row.NftCtDaddr, V6: f.v6}), Set: hostNodes + f.suffix}
	list := []row.NftBody{body(f.is(), meant, counter(), row.NftStmt{Op: row.NftReject})}
	if g.Port == 0 {
		return list
	}
	port := row.NftStmt{Op: row.NftMatchNum, Not: true, Key: row.NftKeyOf(row.NftTerm{Op: row.NftCtDport}), Num: uint32(g.Port)}
	return append(list, body(f.is(), match(row.NftTerm{Op: row.NftL4proto}, protoUDP), port, counter(), row.NftStmt{Op: row.NftReject}))
}

const protoIPIP, protoUDP, protoIPv6 = 4, 17, 41

// local matches sources that are this node's.
func (f hostFamily) local(not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftMatchLocal, Not: not, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: f.v6})}
}

func jumping(matches []row.NftBody, chain string) []row.NftBody {
	list := make([]row.NftBody, len(matches))
	for i, b := range matches {
		list[i] = body(append(b.Stmts(), row.NftStmt{Op: row.NftJumpTo, Chain: chain})...)
	}
	return list
}

func arrivesBy(link string) row.NftStmt {
	return row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftIif}), Text: link}
}

func counter() row.NftStmt { return row.NftStmt{Op: row.NftCounter} }
func dropIt() row.NftStmt  { return row.NftStmt{Op: row.NftDropPkt} }
