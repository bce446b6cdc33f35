package nft

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Tiers of ClusterNetworkPolicies stand in the packet's way as that of NetworkPolicies does: a pod's address leads to the chain of
// its first tier. What that passes goes on to the second one, which another map knows:
//
//	ip daddr vmap @policy-ingress4        → jump policy-in-admin4-…
//	policy-in-admin4-…:  ip saddr @policy-peer4-… counter goto policy-deny-in
//	                     counter goto policy-next-in
//	policy-next-in:      ip daddr vmap @policy-next-in4   → jump policy-in4-…
//
// A chain that returns, whichever of them, comes back behind the first map, where the other end is judged. What is denied is dropped
// without a word, as the API asks. All of this is there only while a pod has such a tier.

// chainErrors is what a tier of ClusterNetworkPolicies begins with. Echo obeys these, so it is not the chain of NetworkPolicies.
const (
	chainErrors  = "policy-errors"
	chainErrors4 = "policy-errors4"
	chainErrors6 = "policy-errors6"
)

// ordered is what every tier of ClusterNetworkPolicies of a direction needs.
func ordered(d intent.Direction) []row.Nft {
	w := wayOf(d)
	var log, next []row.NftBody
	var rows []row.Nft
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		f := familyOf(a)
		pod := row.NftKeyOf(row.NftTerm{Op: w.pod, V6: f.v6})
		rows = append(rows, f.toChain(w.log), f.toChain(w.next))
		log = append(log, body(row.NftStmt{Op: row.NftVmap, Key: pod, Set: f.toChain(w.log).Name}))
		next = append(next, body(row.NftStmt{Op: row.NftVmap, Key: pod, Set: f.toChain(w.next).Name}))
	}
	for _, c := range append(errorChains(), []chainOf{
		{chainErrors, []row.NftBody{
			body(row.NftStmt{Op: row.NftMatchState, Num: row.NftStateInvalid}, row.NftStmt{Op: row.NftCounter}, row.NftStmt{Op: row.NftDropPkt}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP), row.NftStmt{Op: row.NftGotoChain, Chain: chainErrors4}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP6), row.NftStmt{Op: row.NftGotoChain, Chain: chainErrors6}),
		}},
		{w.deny, append(log, body(row.NftStmt{Op: row.NftDropPkt}))},
		{w.next, next},
	}...) {
		rows = append(rows, c.rows()...)
	}
	return rows
}

// chainOf is a chain with its rules.
type chainOf struct {
	name  string
	rules []row.NftBody
}

func (c chainOf) rows() []row.Nft {
	return append([]row.Nft{row.NftChain{Name: c.name}}, row.NftRules(c.name, c.rules...)...)
}

// errorChains let pass what of ICMP no policy is about.
func errorChains() []chainOf {
	return []chainOf{
		{chainErrors4, accepting(row.NftTerm{Op: row.NftICMPType}, []uint32{3, 11})},
		{chainErrors6, accepting(row.NftTerm{Op: row.NftICMPType, V6: true}, []uint32{1, 2, 3, 4, 130, 131, 132, 133, 135, 136, 143})},
	}
}

// OfDefault is the place of what none of a tier's rules accepts.
const OfDefault = -1

// RuleCounters are the rules that count what the rules of a tier of ClusterNetworkPolicies decide, with the places of these in the tier.
// What a tier of NetworkPolicies accepts is not counted; in a rehearsal what it refuses is, at OfDefault.
func RuleCounters(t *intent.Tier) map[row.NftKey]int {
	of := map[row.NftKey]int{}
	network := t.Level == intent.NetworkLevel
	if network && !t.Rehearsal {
		return of
	}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		f, pos := familyOf(a), 1 // behind the jump with which the chain begins
		for i, r := range t.Rules {
			for _, m := range r.Matches {
				if _, _, ok := f.match(wayOfTier(t), m); ok {
					if !network {
						of[row.NftRule{Chain: f.tierChain(t), Pos: pos}.Key()] = i
					}
					pos++
				}
			}
		}
		if network {
			of[row.NftRule{Chain: f.tierChain(t), Pos: pos}.Key()] = OfDefault
		}
	}
	return of
}
