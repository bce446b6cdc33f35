package nft

import (
	"net/netip"
	"slices"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The chains and sets of the host room. Set names end in the family.
const (
	hostMasquerade = "host-masquerade"
	hostForward    = "host-forward"
	hostOutput     = "host-output"
	hostPods       = "host-pods"
	hostKeep       = "host-keep"
	hostNodes      = "host-nodes"
	hostAway       = "host-away" // other nodes' pods
	hostRefuse     = "host-refuse"
)

// Priorities of the host room's base chains: source translation just before others' (100), and the last
// word on forwarding after services and policies (0) had theirs.
const (
	prioMasquerade = 99
	prioForward    = 10
)

// Egress renders the masquerade of what pods send outside, and the refusal of packets to service addresses that no
// Service took: they would leave by the default route, back to the router that they came from. What such an address is on
// this node for, be it a cache of DNS, never gets there.
func Egress(e *intent.Egress) []row.Nft {
	var rows []row.Nft
	var masquerade, forward, output []row.NftBody
	for _, f := range hostFamilies {
		pods, keep, refuse := f.only(e.Pods), f.only(e.Keep), f.only(e.Refuse)
		if len(pods) > 0 {
			rows = append(rows, f.set(hostPods, pods)...)
			rows = append(rows, f.set(hostKeep, keep)...)
			rows = append(rows, f.nodesSet())
			masquerade = append(masquerade, f.masquerade())
		}
		if len(refuse) > 0 {
			rows = append(rows, f.set(hostRefuse, refuse)...)
			there := f.in(row.NftDaddr, hostRefuse, false)
			elsewhere := row.NftStmt{Op: row.NftMatchLocal, Not: true, Key: row.NftKeyOf(row.NftTerm{Op: row.NftDaddr, V6: f.v6})}
			forward = append(forward, unserved(f.is(), there)...)
			output = append(output, unserved(f.is(), there, elsewhere)...)
		}
	}
	if len(masquerade) > 0 {
		rows = append(rows, row.NftChain{Name: hostMasquerade, Hook: row.NftPostrouting, Nat: true, Priority: prioMasquerade})
		rows = append(rows, row.NftRules(hostMasquerade, masquerade...)...)
	}
	if len(forward) > 0 {
		rows = append(rows, row.NftChain{Name: hostForward, Hook: row.NftForward, Priority: prioForward})
		rows = append(rows, row.NftRules(hostForward, forward...)...)
		rows = append(rows, row.NftChain{Name: hostOutput, Hook: row.NftOutput, Priority: prioForward})
		rows = append(rows, row.NftRules(hostOutput, output...)...)
	}
	return rows
}

// Peer renders what a node adds to the destinations that see pod addresses.
func Peer(p *intent.Peer) []row.Nft {
	var rows []row.Nft
	for _, f := range hostFamilies {
		if list := f.only(p.Ranges); len(list) > 0 {
			rows = append(rows, f.set(hostKeep, list)...)
		}
		if list := f.only(p.Away); len(list) > 0 {
			rows = append(rows, f.set(hostAway, list)...)
		}
		rows = append(rows, f.nodes(p.Addrs)...)
	}
	return rows
}

// hostFamily is what differs between the families in these rows.
type hostFamily struct {
	v6     bool
	suffix string
	proto  uint32 // as meta nfproto has it
	addr   row.NftType
}

var hostFamilies = [...]hostFamily{
	{false, "4", 2, row.NftIPv4},
	{true, "6", 10, row.NftIPv6},
}

func (f hostFamily) only(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if p.Addr().Is6() == f.v6 {
			out = append(out, p)
		}
	}
	return out
}

func (f hostFamily) set(name string, list []netip.Prefix) []row.Nft {
	set := row.NftSet{Name: name + f.suffix, Keys: row.NftTypesOf(f.addr), Interval: true}
	rows := []row.Nft{set}
	of := unique.Make(set)
	for _, p := range list {
		e := row.NftElement{Of: of, Elem: string(row.NftWire{}.Addr(p.Addr()))}
		if !p.IsSingleIP() {
			e.Last = string(row.NftWire{}.Addr(last(p)))
		}
		rows = append(rows, e)
	}
	return rows
}

// nodesSet is the set of the nodes' addresses. It has no intervals, so they may lie in any range.
func (f hostFamily) nodesSet() row.NftSet {
	return row.NftSet{Name: hostNodes + f.suffix, Keys: row.NftTypesOf(f.addr)}
}

// nodes are elements of the set of the nodes' addresses.
func (f hostFamily) nodes(list []netip.Addr) []row.Nft {
	set := f.nodesSet()
	of := unique.Make(set)
	var rows []row.Nft
	for _, a := range list {
		if a.Is6() == f.v6 {
			rows = append(rows, set, row.NftElement{Of: of, Elem: string(row.NftWire{}.Addr(a))})
		}
	}
	return rows
}

func (f hostFamily) masquerade() row.NftBody {
	return row.NftMakeBody(f.is(), f.in(row.NftSaddr, hostPods, false), f.in(row.NftDaddr, hostKeep, true),
		f.in(row.NftDaddr, hostNodes, true), row.NftStmt{Op: row.NftMasquerade})
}

// unserved ends what matches at once: TCP by a reset, all else by port unreachable.
func unserved(matches ...row.NftStmt) []row.NftBody {
	matches = slices.Clip(matches)
	return []row.NftBody{
		body(append(matches, match(row.NftTerm{Op: row.NftL4proto}, 6), counter(), row.NftStmt{Op: row.NftReject, Num: 1})...),
		body(append(matches, counter(), row.NftStmt{Op: row.NftReject})...),
	}
}

// is matches packets of the family; the table has both.
func (f hostFamily) is() row.NftStmt {
	return row.NftStmt{Op: row.NftMatchNum, Key: row.NftKeyOf(row.NftTerm{Op: row.NftNfproto}), Num: f.proto}
}

func (f hostFamily) in(term row.NftTermOp, set string, not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftLookup, Not: not, Set: set + f.suffix, Key: row.NftKeyOf(row.NftTerm{Op: term, V6: f.v6})}
}

// last is the last address of a range.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
