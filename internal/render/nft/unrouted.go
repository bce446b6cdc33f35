package nft

import "kube-router/internal/row"

// What the kernel has no route for, or no neighbour, meets no rule on its way. But the kernel tells its sender, and what it tells passes the output
// hook with the headers of the packet that it is about: forwarded packets pay nothing for being watched there.
const (
	chainUnrouted    = "unrouted"
	chainNoRoute     = "unrouted-route"
	chainUnreachable = "unrouted-host"
	prioUnrouted     = prioForward + 1
)

// Codes of "destination unreachable": type 3 of ICMP (RFC 792), type 1 of ICMPv6 (RFC 4443).
const (
	unreachable4, noNetwork4, noHost4 = 3, 0, 1
	unreachable6, noRoute6, noHost6   = 1, 0, 3
)

// Unrouted renders what counts and logs the packets that this node tells senders it has no way for.
func Unrouted() []row.Nft {
	rows := ending(row.NftChain{Name: chainNoRoute}, "no route")
	rows = append(rows, ending(row.NftChain{Name: chainUnreachable}, "unreachable")...)
	told := func(v6 bool, typ, code uint32, to string) row.NftBody {
		return body(match(row.NftTerm{Op: row.NftICMPType, V6: v6}, typ), match(row.NftTerm{Op: row.NftICMPCode, V6: v6}, code),
			row.NftStmt{Op: row.NftJumpTo, Chain: to})
	}
	rows = append(rows, row.NftChain{Name: chainUnrouted, Hook: row.NftOutput, Priority: prioUnrouted})
	return append(rows, row.NftRules(chainUnrouted, told(false, unreachable4, noNetwork4, chainNoRoute), told(false, unreachable4, noHost4, chainUnreachable),
		told(true, unreachable6, noRoute6, chainNoRoute), told(true, unreachable6, noHost6, chainUnreachable))...)
}
