package bgp

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// exchange renders what goes out and what comes in. Both policies hold statements about sets only, so that
// a Service or a peer that comes or goes changes members of sets and no policy.
func exchange(e *intent.Exchange) []row.Bgp {
	rows := []row.Bgp{exports(e), imports(e)}
	for _, p := range e.Reject {
		rows = append(rows, row.BgpMember{
			Set: row.SetRejected.Of(p.Addr()), Net: p, Min: uint8(p.Bits()), Max: uint8(p.Addr().BitLen()),
		})
	}
	for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		p := netip.PrefixFrom(all, 0)
		rows = append(rows, exactly(row.SetPeers, p))
		if !e.Default {
			rows = append(rows, exactly(row.SetDefaults, p))
		}
	}
	return rows
}

// families are the twins of a set that count.
func families(e *intent.Exchange, s row.BgpSet) []row.BgpSet {
	var list []row.BgpSet
	if e.V4 {
		list = append(list, s)
	}
	if e.V6 {
		list = append(list, s.V6())
	}
	return list
}

// exports is the export policy: pod ranges to nodes, Services and, if wished, pod ranges outside. Nothing
// else leaves, but for what a reflector passes on.
func exports(e *intent.Exchange) row.BgpPolicy {
	p := statements(e, row.BgpPolicy{}, row.BgpStatement{Accept: true}, row.SetPods, row.SetInternals)
	out := outside(e)
	p = statements(e, p, out, row.SetVIPs, row.SetExternals)
	if e.PodsOutside {
		pods := row.SetPods
		if e.Aggregate {
			pods = row.SetPodsOut
		}
		p = statements(e, p, out, pods, row.SetExternals)
	}
	if e.Reflect {
		for _, peer := range []row.BgpSet{row.SetInternals, row.SetInternals.V6()} {
			p.Statements[p.Count] = row.BgpStatement{Learned: true, Peers: peer, Accept: true}
			p.Count++
		}
	}
	return p
}

// outside is what is done to everything that leaves the cluster.
func outside(e *intent.Exchange) row.BgpStatement {
	s := row.BgpStatement{
		Accept: true, PrependAS: e.PrependAS, PrependTimes: e.PrependTimes, NextHopSelf: e.NextHopSelf,
	}
	if e.MED != nil {
		s.HasMED, s.MED = true, *e.MED
	}
	for _, c := range e.Communities[:min(len(e.Communities), row.MaxCommunities)] {
		s.Communities[s.NCommunities] = row.Community(c)
		s.NCommunities++
	}
	for _, c := range e.Large[:min(len(e.Large), row.MaxCommunities)] {
		s.Large[s.NLarge] = c
		s.NLarge++
	}
	return s
}

// imports is the import policy: whoever announces them, addresses of our Services, default routes and what
// the node's annotation names are refused, and of routers outside what isn't theirs to teach, unless it is permitted. Our
// own paths pass through it too, but come from no peer.
func imports(e *intent.Exchange) row.BgpPolicy {
	p := row.BgpPolicy{Import: true, Accept: true}
	for _, peers := range []row.BgpSet{row.SetExternals, row.SetExternals.V6()} { // who asks us to use other ways (RFC 8326)
		p.Statements[p.Count] = row.BgpStatement{Peers: peers, Marked: gracefulShutdown, Next: true, Pref: lowest}
		p.Count++
	}
	for _, prefixes := range []row.BgpSet{row.SetVIPs, row.SetOwn, row.SetDefaults, row.SetRejected} {
		p = statements(e, p, row.BgpStatement{}, prefixes, row.SetPeers)
	}
	return statements(e, p, row.BgpStatement{}, row.SetHeld, row.SetExternals)
}

// statements adds a statement to p for each twin of a set of prefixes and of a set of peers: a session over
// one family carries the routes of both. Our end of a session can be the next hop of routes of its own
// family alone; routes of the other one keep the node's address, which is as good.
func statements(e *intent.Exchange, p row.BgpPolicy, s row.BgpStatement, prefixes, peers row.BgpSet) row.BgpPolicy {
	for _, set := range families(e, prefixes) {
		for _, peer := range []row.BgpSet{peers, peers.V6()} {
			one := s
			one.Prefixes, one.Peers = set, peer
			one.NextHopSelf = s.NextHopSelf && (set == prefixes) == (peer == peers)
			p.Statements[p.Count] = one
			p.Count++
		}
	}
	return p
}
