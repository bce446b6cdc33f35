package nft

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Pods of one node that hang on one bridge reach each other by more than their addresses: by the link-local
// addresses that every IPv6 interface has, and by multicast and broadcast, which all ports of the bridge
// hear. No policy can name these and no map finds the pod behind them. So as long as any pod here is
// isolated, what comes by them from a pod ends, but for what IPv6 and multicast themselves live by.
const (
	chainBeside      = "policy-beside"       // what of a bridge is spoken to so
	chainBesideJudge = "policy-beside-judge" // what of it passes whatever policies say
	chainBesideEnd   = "policy-beside-end"   // nothing, or the end: a rule that isolated pods want
)

const protoIGMP = 2

// beside gives the rules that lead there: of all that comes over a pods' bridge, and of what from there is for
// the node itself.
func beside(b *intent.FirewallBase) (forward, input []row.NftBody, rows []row.Nft) {
	from := row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: true})
	local := row.NftStmt{Op: row.NftMatchNet, Key: from, Prefix: netip.MustParsePrefix("fe80::/10")}
	for _, name := range podBridges(b) {
		in := row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftIif}), Text: name}
		forward = append(forward, body(in, row.NftStmt{Op: row.NftJumpTo, Chain: chainBeside}))
		input = append(input, body(in, local, row.NftStmt{Op: row.NftJumpTo, Chain: chainBesideJudge}))
	}
	judge := row.NftStmt{Op: row.NftGotoChain, Chain: chainBesideJudge}
	bodies := []row.NftBody{body(local, judge)}
	for _, p := range everybody(b) {
		to := row.NftKeyOf(row.NftTerm{Op: row.NftDaddr, V6: p.Addr().Is6()})
		bodies = append(bodies, body(row.NftStmt{Op: row.NftMatchNet, Key: to, Prefix: p}, judge))
	}
	for _, c := range []struct {
		name  string
		rules []row.NftBody
	}{{chainBesideEnd, nil}, {chainBesideJudge, besideRules(b)}, {chainBeside, bodies}} {
		rows = append(rows, row.NftChain{Name: c.name})
		rows = append(rows, row.NftRules(c.name, c.rules...)...)
	}
	return forward, input, rows
}

func podBridges(b *intent.FirewallBase) []string {
	if b.Bridge {
		return append([]string{row.BridgeName}, b.Bridges...)
	}
	return b.Bridges
}

// everybody are the destinations that are no single pod's address.
func everybody(b *intent.FirewallBase) []netip.Prefix {
	list := []netip.Prefix{
		netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	}
	for _, a := range b.Broadcasts {
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}

// besideRules let pass what tells who listens to a group, and what ICMP may always do.
func besideRules(b *intent.FirewallBase) []row.NftBody {
	_, icmp6 := icmpTypes(b)
	list := []row.NftBody{body(match(row.NftTerm{Op: row.NftL4proto}, protoIGMP), row.NftStmt{Op: row.NftAccept})}
	list = append(list, accepting(row.NftTerm{Op: row.NftICMPType, V6: true}, icmp6)...)
	return append(list, body(row.NftStmt{Op: row.NftJumpTo, Chain: chainBesideEnd}))
}

// closing is what every isolated pod wants; the same rows for all, so they stand until the last of them goes.
func closing() []row.Nft {
	rows := []row.Nft{row.NftChain{Name: chainBesideEnd}}
	return append(rows, row.NftRules(chainBesideEnd, body(row.NftStmt{Op: row.NftCounter}, row.NftStmt{Op: row.NftDropPkt}))...)
}
