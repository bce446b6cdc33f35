package nft

import (
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// What policies let pass is judged once more where pods have policies that are only rehearsed: by the tiers as they were with those.
// It comes behind all judgement, so that what it counts is what would change, and ends nothing. A pod's address leads to these tiers
// as it does to the others, so that a packet's cost is that of its own pods' tiers again. Once one end would refuse, the other isn't
// asked, as it wouldn't be then:
//
//	policy-rehearsal:     ip saddr vmap @policy-rehearse-egress4   → jump policy-rehearse-out4-…
//	                      ip daddr vmap @policy-rehearse-ingress4  → jump policy-rehearse-in4-…
//	policy-rehearsed-in:  ip daddr vmap @policy-rehearsal-log-in4  → jump policy-rehearsal-log-in-…
//	                      accept
//
// All of this is there only while a policy is rehearsed.
const (
	chainRehearsal       = "policy-rehearsal"
	chainRehearsalCommon = "policy-rehearsal-common"
	chainRehearsalICMP4  = "policy-rehearsal-icmp4"
	chainRehearsalICMP6  = "policy-rehearsal-icmp6"
	chainRehearsalErrors = "policy-rehearsal-errors"
	chainTried           = "policy-rehearsal-tried" // what passes whatever NetworkPolicies say, and not whatever the others do
)

// RehearsedPrefix begins the chains to which a rehearsal leads what would end.
const RehearsedPrefix = "policy-rehearsed-"

func rehearsing(d intent.Direction) way {
	w := way{"policy-rehearse-egress", "policy-rehearse-out", RehearsedPrefix + "out", RehearsedPrefix + "out", "policy-rehearse-next-out", "policy-rehearsal-log-out",
		"from", row.NftSaddr, row.NftDaddr, RehearsalLogGroup, chainRehearsalCommon, chainRehearsalErrors}
	if d == intent.ToPod {
		w = way{"policy-rehearse-ingress", "policy-rehearse-in", RehearsedPrefix + "in", RehearsedPrefix + "in", "policy-rehearse-next-in", "policy-rehearsal-log-in",
			"to", row.NftDaddr, row.NftSaddr, RehearsalLogGroup, chainRehearsalCommon, chainRehearsalErrors}
	}
	return w
}

// rehearsal is what stands around the tiers of rehearsals.
func rehearsal(b *intent.FirewallBase) (rows []row.Nft) {
	icmp4, icmp6 := icmpTypes(b)
	var both []row.NftBody
	var refused, next [2][]row.NftBody
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		for _, d := range []intent.Direction{intent.FromPod, intent.ToPod} {
			w := rehearsing(d)
			rows = append(rows, f.toChain(w.vmap), f.toChain(w.log), f.toChain(w.next))
			pod := row.NftKeyOf(row.NftTerm{Op: w.pod, V6: f.v6})
			both = append(both, f.judge(w))
			refused[d] = append(refused[d], body(row.NftStmt{Op: row.NftVmap, Key: pod, Set: f.toChain(w.log).Name}))
			next[d] = append(next[d], body(row.NftStmt{Op: row.NftVmap, Key: pod, Set: f.toChain(w.next).Name}))
		}
	}
	accept := body(row.NftStmt{Op: row.NftAccept})
	toICMP := func(v4, v6 string) []row.NftBody {
		return []row.NftBody{
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP), row.NftStmt{Op: row.NftGotoChain, Chain: v4}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP6), row.NftStmt{Op: row.NftGotoChain, Chain: v6}),
		}
	}
	in, out := rehearsing(intent.ToPod), rehearsing(intent.FromPod)
	for _, c := range slices.Concat(errorChains(), []chainOf{
		{chainRehearsalICMP4, accepting(row.NftTerm{Op: row.NftICMPType}, icmp4)},
		{chainRehearsalICMP6, accepting(row.NftTerm{Op: row.NftICMPType, V6: true}, icmp6)},
		{chainRehearsalCommon, toICMP(chainRehearsalICMP4, chainRehearsalICMP6)},
		{chainRehearsalErrors, toICMP(chainErrors4, chainErrors6)},
		{in.drop, append(refused[intent.ToPod], accept)},
		{out.drop, append(refused[intent.FromPod], accept)},
		{in.next, next[intent.ToPod]},
		{out.next, next[intent.FromPod]},
		{chainRehearsal, both},
		{chainTried, []row.NftBody{body(row.NftStmt{Op: row.NftJumpTo, Chain: chainRehearsal}), accept}},
	}) {
		rows = append(rows, c.rows()...)
	}
	return rows
}

// tried lets pass what ICMP may always do. A rehearsal is asked about echo, since tiers of ClusterNetworkPolicies are.
func tried(b *intent.FirewallBase, t row.NftTerm, types []uint32) []row.NftBody {
	list := accepting(t, types)
	if !b.Rehearsal {
		return list
	}
	for i, n := range types {
		if !t.V6 && n == 8 || t.V6 && (n == 128 || n == 129) {
			list[i] = body(match(t, n), row.NftStmt{Op: row.NftGotoChain, Chain: chainTried})
		}
	}
	return list
}
