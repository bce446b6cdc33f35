package linux

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Leaving renders the way to the gateway of an address that pods leave from: a table of its own, in which packets with the mark of the address
// look it up. Mask are the bits of marks that count. Only packets from this node's pods do: vxlan hands the mark on to the packet around them, which must not take
// that way again.
func Leaving(l *intent.Leaving, mark, mask uint32, pods []netip.Prefix) []row.Linux {
	if l.Here || l.Hop == nil {
		return nil
	}
	var rows []row.Linux
	table := row.TableEgress + row.Table(l.Slot)
	route := row.Route{Table: table, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Hops: row.MakeHops(row.Hop{Via: l.Hop.Via, Dev: l.Hop.Dev})}
	if l.Addr.Is6() {
		route.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if t := l.Hop.Tunnel; t != nil {
		rows = append(rows, tunnel(t)...)
		route.Hops, route.MTU = row.MakeHops(tunnelHop(t)), t.MTU
	}
	rows = append(rows, route)
	for _, p := range pods {
		if p.Addr().Is6() == l.Addr.Is6() {
			rows = append(rows, row.Rule{Priority: row.RuleEgress, V6: l.Addr.Is6(), Src: p, Mark: mark, Mask: mask, Table: table})
		}
	}
	return rows
}
