package nft

import (
	"net/netip"
	"slices"

	"kube-router/internal/row"
)

func body(stmts ...row.NftStmt) row.NftBody { return row.NftMakeBody(stmts...) }

func match(t row.NftTerm, n uint32) row.NftStmt {
	return row.NftStmt{Op: row.NftMatchNum, Key: row.NftKeyOf(t), Num: n}
}

// is matches packets of the family: without it the kernel would read addresses out of the other's header.
func (f family) is() row.NftStmt { return match(row.NftTerm{Op: row.NftNfproto}, f.number) }

func (f family) saddr() row.NftTerm { return row.NftTerm{Op: row.NftSaddr, V6: f.v6} }
func (f family) daddr() row.NftTerm { return row.NftTerm{Op: row.NftDaddr, V6: f.v6} }

// frontKey is the front that a packet is for, and what follows in the key.
func (f family) frontKey(more ...row.NftTerm) []row.NftTerm {
	return append([]row.NftTerm{f.daddr(), {Op: row.NftL4proto}, {Op: row.NftDport}}, more...)
}

// clientKey is the client and the front, the key of affinity.
func (f family) clientKey() row.NftKeyExpr {
	return row.NftKeyOf(append([]row.NftTerm{f.saddr()}, f.frontKey()...)...)
}

func (f family) vmap(s row.NftSet) row.NftStmt {
	return row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(f.frontKey()...), Set: s.Name}
}

// disjoint are the blocks of a family, without those that lie in another: an interval set takes no
// overlap. Prefixes never overlap in part.
func disjoint(f family, blocks []netip.Prefix) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range blocks {
		if p.IsValid() && p.Addr().Is6() == f.v6 {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var apart []netip.Prefix // slices.CompactFunc would compare a block with its neighbour, which may itself lie in a wider one
	for _, p := range list {
		if n := len(apart); n == 0 || !apart[n-1].Overlaps(p) {
			apart = append(apart, p)
		}
	}
	return apart
}

// lastOf is the highest address of a block.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
