package nft

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The kernel takes up a connection that it doesn't know in its middle, and takes whoever sends first for the
// one who began it (net.netfilter.nf_conntrack_tcp_loose). A connection that policies have ended would so live on
// as soon as its other end sends: the packets of a server that nobody may reach would make a flow of its own,
// which nobody forbids. So what begins nothing and belongs to no flow is refused where it would answer: from pods
// that are isolated for what comes, and to pods that are for what goes. The right end may still take up its
// connection, for it is judged.
const chainMidway = "policy-midway"

// guarded are the pods that are isolated in a direction.
func (f family) guarded(d intent.Direction) row.NftSet {
	return f.set(map[intent.Direction]string{intent.ToPod: "policy-guarded-in", intent.FromPod: "policy-guarded-out"}[d], []row.NftType{f.addr}, nil)
}

// midway gives the rules that find such packets.
func midway(b *intent.FirewallBase) (bodies []row.NftBody, rows []row.Nft) {
	rows = append(rows, row.NftChain{Name: chainMidway})
	rows = append(rows, row.NftRules(chainMidway, append([]row.NftBody{body(row.NftStmt{Op: row.NftCounter})}, telling(b)...)...)...)
	const syn, begins = 2, 1 // the flag of TCP, the INIT chunk of SCTP
	tcp := row.NftStmt{Op: row.NftMatchNum, Key: row.NftKeyOf(row.NftTerm{Op: row.NftTCPFlags}), Num: 0, Mask: syn}
	sctp := row.NftStmt{Op: row.NftMatchNum, Not: true, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSCTPChunk}), Num: begins}
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		for _, d := range []intent.Direction{intent.ToPod, intent.FromPod} {
			key := f.saddr()
			if d == intent.FromPod {
				key = f.daddr()
			}
			rows = append(rows, f.guarded(d))
			for _, begun := range []row.NftStmt{tcp, sctp} {
				bodies = append(bodies, body(
					begun, row.NftStmt{Op: row.NftMatchState, Num: row.NftStateNew},
					row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(key), Set: f.guarded(d).Name},
					row.NftStmt{Op: row.NftGotoChain, Chain: chainMidway}))
			}
		}
	}
	return bodies, rows
}
