package nft

import (
	"net/netip"
	"slices"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// NodePolicies stand in chains of their own at the hooks of what is for this node and comes from it; what is forwarded passes neither. Input is
// judged behind IPVS, which has taken by then what it serves, and before a source is translated, so that each packet has the port at
// which it really arrives:
//
//	policy-node-input:  ct state established,related accept
//	                    iifname lo accept
//	                    jump policy-node-errors
//	                    meta l4proto . th dport @policy-node-safe-in accept     (or goto policy-node-closed-in, where a policy closes them)
//	                    meta nfproto ipv4 jump policy-node-in-admin4-…
//
// A tier that accepts returns here, so that a rehearsal may follow. All of it is there only while a NodePolicy is about this node.
const (
	chainNodeErrors = "policy-node-errors"

	// behindIPVS comes after IPVS (NF_IP_PRI_NAT_SRC - 2) and before translation of sources.
	behindIPVS = 99
)

// hosting is the way of tiers that judge this node.
func hosting(d intent.Direction, at intent.Place, rehearsal bool) way {
	w := way{prefix: "to", pod: row.NftDaddr, peer: row.NftSaddr, group: PolicyLogGroup, errors: chainNodeErrors}
	suffix := "in"
	if d == intent.FromPod {
		w.prefix, w.pod, w.peer, suffix = "from", row.NftSaddr, row.NftDaddr, "out"
	}
	middle := ""
	if at == intent.AtSafes {
		middle = "closed-"
	}
	w.deny, w.log = "policy-node-deny-"+suffix, "policy-node-log-"+suffix
	if rehearsal {
		middle += "rehearse-"
		w.group, w.deny, w.log = RehearsalLogGroup, RehearsedPrefix+"node-"+suffix, "policy-node-rehearsal-log-"+suffix
	}
	w.chain, w.next = "policy-node-"+middle+suffix, "policy-node-"+middle+"next-"+suffix
	return w
}

// HostWall renders what guards this node. The chains of its tiers are rendered by Tier.
func HostWall(h *intent.HostWall) []row.Nft {
	rows := nodeErrors()
	for _, d := range []intent.Direction{intent.ToPod, intent.FromPod} {
		if len(h.Tiers[d]) == 0 && len(h.Rehearsal[d]) == 0 {
			continue
		}
		rows = append(rows, hostDeny(d, h, false)...)
		if len(h.Rehearsal[d]) > 0 {
			rows = append(rows, hostDeny(d, h, true)...)
		}
		sets, safe := hostSafes(d, h)
		rows = append(rows, sets...)
		judge := append(safe, hostTiers(h.Tiers[d])...)
		judge = append(judge, hostTiers(h.Rehearsal[d])...)
		for _, tiers := range [][]*intent.Tier{h.Tiers[d], h.Closed[d], h.Rehearsal[d], h.RehearsedClosed[d]} {
			rows = append(rows, hostNext(tiers)...)
		}
		rows = append(rows, hostChains(d, h, judge)...)
	}
	return rows
}

// hostChains are the base chain of a direction and what it leads to.
func hostChains(d intent.Direction, h *intent.HostWall, judge []row.NftBody) []row.Nft {
	closed := chainOf{hosting(d, intent.AtSafes, false).chain, append(hostTiers(h.Closed[d]), hostTiers(h.RehearsedClosed[d])...)}
	base := row.NftChain{Name: "policy-node-input", Hook: row.NftInput, Priority: behindIPVS}
	begin := []row.NftBody{passing(), body(row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftIif}), Text: "lo"}, row.NftStmt{Op: row.NftAccept})}
	var rows []row.Nft
	if len(closed.rules) > 0 {
		rows = append(rows, closed.rows()...)
	}
	judge = append([]row.NftBody{body(row.NftStmt{Op: row.NftJumpTo, Chain: chainNodeErrors})}, judge...)
	if d == intent.FromPod {
		// What IPVS sends on comes by here as well, with its client's address.
		base.Name, base.Hook = "policy-node-output", row.NftOutput
		begin[1] = body(row.NftStmt{Op: row.NftMatchName, Key: row.NftKeyOf(row.NftTerm{Op: row.NftOif}), Text: "lo"}, row.NftStmt{Op: row.NftAccept})
		own := chainOf{"policy-node-own", judge}
		rows = append(rows, own.rows()...)
		judge = nil
		for _, v6 := range []bool{false, true} {
			judge = append(judge, body(row.NftStmt{Op: row.NftMatchLocal, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: v6})},
				row.NftStmt{Op: row.NftGotoChain, Chain: own.name}))
		}
	}
	rows = append(rows, base)
	return append(rows, row.NftRules(base.Name, append(begin, judge...)...)...)
}

// hostSafes lead what fail-safes are about past the tiers, or to those of policies that close them.
func hostSafes(d intent.Direction, h *intent.HostWall) (rows []row.Nft, bodies []row.NftBody) {
	w := hosting(d, intent.AtSafes, false)
	end := row.NftStmt{Op: row.NftAccept}
	if len(h.Closed[d]) > 0 || len(h.RehearsedClosed[d]) > 0 {
		end = row.NftStmt{Op: row.NftGotoChain, Chain: w.chain}
	}
	name := "policy-node-safe-in"
	if d == intent.FromPod {
		name = "policy-node-safe-out"
	}
	set := row.NftSet{Name: name, Keys: row.NftTypesOf(row.NftProto, row.NftPort), Interval: true}
	rows = append(rows, set)
	of := unique.Make(set)
	for _, r := range h.Safes[d] {
		if r.First == 0 && r.Last == 65535 {
			bodies = append(bodies, body(match(row.NftTerm{Op: row.NftL4proto}, uint32(r.Protocol)), end))
			continue
		}
		e := row.NftElement{Of: of, Elem: string(row.NftWire{}.Proto(r.Protocol).Port(r.First))}
		if r.First != r.Last {
			e.Last = string(row.NftWire{}.Proto(r.Protocol).Port(r.Last))
		}
		rows = append(rows, e)
	}
	key := row.NftKeyOf(row.NftTerm{Op: row.NftL4proto}, row.NftTerm{Op: row.NftDport})
	bodies = append(bodies, body(row.NftStmt{Op: row.NftLookup, Key: key, Set: set.Name}, end))
	if d == intent.FromPod {
		for _, s := range h.Own {
			f := familyOf(s.First)
			match, sets := f.block(w, []intent.Span{s})
			rows = append(rows, sets...)
			bodies = append(bodies, body(append(match, end)...))
		}
	}
	return rows, bodies
}

// hostTiers lead to the first of a direction's tiers.
func hostTiers(tiers []*intent.Tier) (bodies []row.NftBody) {
	if len(tiers) == 0 {
		return nil
	}
	return toTier(tiers[0])
}

func toTier(t *intent.Tier) (bodies []row.NftBody) {
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		f := familyOf(a)
		bodies = append(bodies, body(f.is(), row.NftStmt{Op: row.NftJumpTo, Chain: f.tierChain(t)}))
	}
	return bodies
}

// hostNext is where what the first tier passes goes on; a tier of Admin always leads there.
func hostNext(tiers []*intent.Tier) []row.Nft {
	if len(tiers) == 0 || tiers[0].Level != intent.AdminLevel {
		return nil
	}
	c := chainOf{name: wayOfTier(tiers[0]).next}
	for _, t := range tiers[1:] {
		c.rules = append(c.rules, toTier(t)...)
	}
	return c.rows()
}

// hostDeny counts and logs what a rule denies, and ends it; in a rehearsal it goes on.
func hostDeny(d intent.Direction, h *intent.HostWall, rehearsal bool) []row.Nft {
	w := hosting(d, intent.AtHost, rehearsal)
	end := row.NftStmt{Op: row.NftDropPkt}
	if rehearsal {
		end = row.NftStmt{Op: row.NftAccept}
	}
	log := chainOf{w.log, []row.NftBody{body(
		row.NftStmt{Op: row.NftCounter},
		row.NftStmt{Op: row.NftLimit, Num: policyLogRate, Last: policyLogBurst},
		row.NftStmt{Op: row.NftLog, Num: w.group, Last: logSnap, Text: HostLogPrefix(d, h.Node)},
	)}}
	return slices.Concat(log.rows(), chainOf{w.deny, []row.NftBody{body(row.NftStmt{Op: row.NftJumpTo, Chain: w.log}), body(end)}}.rows())
}

// nodeErrors lets pass what of ICMP and of groups no node lives without: errors, neighbours and routers (RFC 4890), and who listens to a group.
func nodeErrors() []row.Nft {
	rules := accepting(row.NftTerm{Op: row.NftICMPType}, []uint32{3, 11, 12})
	rules = append(rules, accepting(row.NftTerm{Op: row.NftICMPType, V6: true}, []uint32{1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 143})...)
	rules = append(rules, body(match(row.NftTerm{Op: row.NftL4proto}, protoIGMP), row.NftStmt{Op: row.NftAccept}))
	return chainOf{chainNodeErrors, rules}.rows()
}

// HostLogPrefix is the text that NFLOG carries with a packet that a NodePolicy dropped: "to node n1 " or "from node n1 ".
func HostLogPrefix(d intent.Direction, node string) string {
	return LogPrefix(d, "node "+node)
}

// HostLogChain counts what NodePolicies dropped in a direction: its first rule's counter.
func HostLogChain(d intent.Direction) row.NftKey {
	return row.NftRule{Chain: hosting(d, intent.AtHost, false).log}.Key()
}
