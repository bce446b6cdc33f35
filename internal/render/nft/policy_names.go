package nft

import (
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Answers about domain names are held where they pass towards a pod that learns, until the daemon has read them and what they tell is in
// the sets: the connection that follows finds it there. They come before the judgement, which lets flows pass that stand. Without a daemon
// they pass at once.
//
//	ct direction reply ct state established ip daddr @policy-learners4
//	    ct original ip daddr . meta l4proto . ct original proto-dst @policy-resolvers4 queue flags bypass to 1053
//
// Whom the pod asked is told by connection tracking, so an answer by anybody else, or that nobody asked for, is none. Answers of a cache on the
// node itself are not tracked, but what leaves the node with its address is from there.
const (
	chainNamesForward = "policy-names-forward"
	chainNamesOutput  = "policy-names-output"
)

// NamesQueue is the number of the kernel's queue in which answers wait.
const NamesQueue = 1053

// namesPriority is just before that of the judgement.
const namesPriority = -1

// Resolvers renders how answers are held; nothing for nil.
func Resolvers(r *intent.Resolvers) []row.Nft {
	if r == nil {
		return nil
	}
	var rows []row.Nft
	var forward, output []row.NftBody
	hold := row.NftStmt{Op: row.NftQueue, Num: NamesQueue}
	if r.ByTarget {
		hold.Mask = 1
	}
	for _, f := range (ServiceParams{IPv4: r.V4, IPv6: r.V6}).families() {
		set := f.resolvers()
		rows = append(rows, set, f.learners())
		of := unique.Make(set)
		for _, at := range r.At {
			if at.Addr.Is6() == f.v6 {
				rows = append(rows, row.NftElement{Of: of, Elem: string(row.NftWire{}.Addr(at.Addr).Proto(at.Protocol).Port(at.Port))})
			}
		}
		proto := row.NftTerm{Op: row.NftL4proto}
		learns := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.daddr()), Set: f.learners().Name}
		tracked := body(
			match(row.NftTerm{Op: row.NftCtDir}, 1), row.NftStmt{Op: row.NftMatchState, Num: row.NftStateEstablished}, learns,
			row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(row.NftTerm{Op: row.NftCtDaddr, V6: f.v6}, proto, row.NftTerm{Op: row.NftCtDport}), Set: set.Name},
			hold)
		untracked := body(
			row.NftStmt{Op: row.NftMatchState, Num: row.NftStateUntracked}, learns,
			row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr(), proto, row.NftTerm{Op: row.NftSport}), Set: set.Name},
			hold)
		forward, output = append(forward, tracked), append(output, tracked, untracked)
	}
	rows = append(rows, row.NftChain{Name: chainNamesForward, Hook: row.NftForward, Priority: namesPriority})
	rows = append(rows, row.NftRules(chainNamesForward, forward...)...)
	rows = append(rows, row.NftChain{Name: chainNamesOutput, Hook: row.NftOutput, Priority: namesPriority})
	return append(rows, row.NftRules(chainNamesOutput, output...)...)
}

// learners are the pods of this node whose policies name domains.
func (f family) learners() row.NftSet { return f.set("policy-learners", []row.NftType{f.addr}, nil) }

// resolvers are where those are asked whose answers count.
func (f family) resolvers() row.NftSet { return f.set("policy-resolvers", f.front(), nil) }
