package bgp

import (
	"fmt"
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// outlet renders to whom the prefixes of an advertisement go: a rule for each router and family. An older advertisement's come first.
func outlet(e *intent.Exchange, o *intent.Outlet) []row.Bgp {
	var rows []row.Bgp
	for _, r := range o.To {
		for _, set := range families(e, row.SetAdvertised(o.Name)) {
			s := outside(e)
			s.Prefixes, s.Peers = set, row.SetPeer(r.Addr)
			s.NextHopSelf = s.NextHopSelf && (set == row.SetAdvertised(o.Name)) == r.Addr.Is4()
			if o.MED != nil {
				s.HasMED, s.MED = true, *o.MED
			}
			if r.Inside {
				s.Pref = o.LocalPref
			}
			mark(&s, o.Communities, o.Large)
			rows = append(rows, rule(false, fmt.Sprintf("advertise %s %s to %s as %s", o.Created.UTC().Format("20060102150405"), o.Name, r.Addr, set), s))
		}
		rows = append(rows, alone(r.Addr))
	}
	return rows
}

// mark adds communities to those of a statement.
func mark(s *row.BgpStatement, communities []uint32, large [][3]uint32) {
	for _, c := range communities {
		if have := s.Communities[:s.NCommunities]; int(s.NCommunities) < row.MaxCommunities && !contains(have, row.Community(c)) {
			s.Communities[s.NCommunities] = row.Community(c)
			s.NCommunities++
		}
	}
	for _, c := range large {
		if have := s.Large[:s.NLarge]; int(s.NLarge) < row.MaxCommunities && !contains(have, row.LargeCommunity(c)) {
			s.Large[s.NLarge] = c
			s.NLarge++
		}
	}
}

func contains[T comparable](list []T, v T) bool {
	for _, e := range list {
		if e == v {
			return true
		}
	}
	return false
}

// alone is the one member of the set of a router.
func alone(a netip.Addr) row.BgpMember {
	return row.BgpMember{Set: row.SetPeer(a), Net: netip.PrefixFrom(a, a.BitLen()), Min: uint8(a.BitLen()), Max: uint8(a.BitLen())}
}

func rule(imports bool, name string, s row.BgpStatement) row.BgpRule {
	return row.BgpRule{Import: imports, Name: name, Statement: s}
}

// filter renders what is taken of a router, and that not everything is for it.
func filter(n *intent.Neighbor) []row.Bgp {
	rows := shutdown(n)
	for i, r := range n.Import {
		rows = append(rows, taught(n, i, r)...)
	}
	for _, on := range []struct {
		on  bool
		set row.BgpSet
	}{{n.Withhold && n.V4, row.SetWithheld(n.Addr)}, {n.Withhold && n.V6, row.SetWithheld(n.Addr).V6()}} {
		if on.on { // "0" comes before any advertisement
			rows = append(rows, rule(false, "0 "+string(on.set), row.BgpStatement{Prefixes: on.set, Peers: row.SetPeer(n.Addr)}))
		}
	}
	if len(rows) > 0 {
		rows = append(rows, alone(n.Addr))
	}
	return rows
}

// gracefulShutdown is the community of RFC 8326.
const gracefulShutdown row.Community = 0xffff0000

// lowest is the local preference of ways that are used when there is no other: the engine takes 0 for none.
const lowest = 1

// shutdown renders what makes others' ways go before those between a router and us, in both directions.
func shutdown(n *intent.Neighbor) []row.Bgp {
	if !n.Shutdown {
		return nil
	}
	out := row.BgpStatement{Peers: row.SetPeer(n.Addr), Next: true, NCommunities: 1}
	out.Communities[0] = gracefulShutdown
	if n.Inside {
		out.Pref = lowest
	}
	name := "0 graceful-shutdown " + n.Addr.String()
	return []row.Bgp{rule(false, name, out), rule(true, name, row.BgpStatement{Peers: row.SetPeer(n.Addr), Next: true, Pref: lowest})}
}

// taught renders one rule of an import filter: a statement, or one for each family where it is about prefixes.
func taught(n *intent.Neighbor, i int, r intent.TaughtRule) []row.Bgp {
	s := row.BgpStatement{
		Peers: row.SetPeer(n.Addr), Accept: r.Accept, Marked: row.Community(r.Community), MarkedBy: r.Large,
	}
	if r.How != "" {
		s.Path = row.AsMatch{How: map[string]row.AsHow{"contains": row.AsContains, "originates": row.AsOriginates, "neighbor": row.AsNeighbor}[r.How], ASN: r.ASN}
	}
	name := fmt.Sprintf("%s/%02d", n.Addr, i)
	if len(r.Prefixes) == 0 {
		return []row.Bgp{rule(true, name, s)}
	}
	var rows []row.Bgp
	sets := map[row.BgpSet]bool{}
	for _, p := range r.Prefixes {
		set := row.SetTaught(n.Addr, i).Of(p.Prefix.Addr())
		rows = append(rows, row.BgpMember{Set: set, Net: p.Prefix, Min: p.Min, Max: p.Max})
		if s.Prefixes = set; !sets[set] {
			rows = append(rows, rule(true, name+" "+string(set), s))
		}
		sets[set] = true
	}
	return rows
}

// Withheld renders a prefix that is kept from a router.
func Withheld(w *intent.Withheld) row.Bgp { return exactly(row.SetWithheld(w.Peer), w.Prefix) }
