package gobgp

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

func pfx(format string, args ...any) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf(format, args...))
}

func addr(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

// rows are a speaker with everything, then paths with their members.
func rows(n int) []row.Bgp {
	speaker := row.BgpSpeaker{ASN: 64512, RouterID: addr("10.0.0.1"), Port: 17900, MultiPath: true}
	speaker.Listen[0] = addr("127.0.0.1")
	out := row.BgpStatement{Prefixes: row.SetVIPs, Peers: row.SetExternals, Accept: true,
		PrependAS: 64600, PrependTimes: 3, NextHopSelf: true, HasMED: true, MED: 0, NCommunities: 2, NLarge: 1}
	out.Communities[0], out.Communities[1] = 0xffffff01, 64512<<16|7
	out.Large[0] = row.LargeCommunity{4200000000, 1, 2}
	export := row.BgpPolicy{Count: 3}
	export.Statements[0] = row.BgpStatement{Prefixes: row.SetPods, Peers: row.SetInternals, Accept: true}
	export.Statements[1] = out
	export.Statements[2] = row.BgpStatement{Learned: true, Peers: row.SetInternals.V6(), Accept: true}
	imports := row.BgpPolicy{Import: true, Accept: true, Count: 1}
	imports.Statements[0] = row.BgpStatement{Prefixes: row.SetVIPs, Peers: row.SetPeers}
	member := func(s row.BgpSet, p netip.Prefix) row.BgpMember {
		return row.BgpMember{Set: s.Of(p.Addr()), Net: p, Min: uint8(p.Bits()), Max: uint8(p.Bits())}
	}
	reject := row.BgpStatement{Prefixes: row.SetTaught(addr("127.0.1.1"), 0), Peers: row.SetPeer(addr("127.0.1.1")), Path: row.AsMatch{How: row.AsOriginates, ASN: 4200000000},
		Marked: 65000<<16 | 7, MarkedBy: row.LargeCommunity{4200000000, 1, 2}}
	to := out
	to.Prefixes, to.Peers, to.Pref = row.SetAdvertised("public").V6(), row.SetPeer(addr("127.0.1.1")), 7
	all := []row.Bgp{
		speaker, export, imports,
		row.BgpRule{Import: true, Name: "127.0.1.1 00", Statement: reject},
		row.BgpRule{Import: true, Name: "127.0.1.1 01", Statement: row.BgpStatement{Peers: row.SetPeer(addr("127.0.1.1")), Path: row.AsMatch{How: row.AsNeighbor, ASN: 1}, Next: true, Pref: 1}},
		row.BgpRule{Name: "advertised public", Statement: to},
		member(row.SetPeer(addr("127.0.1.1")), pfx("127.0.1.1/32")),
		row.BgpMember{Set: row.SetTaught(addr("127.0.1.1"), 0), Net: pfx("10.7.0.0/16"), Min: 24, Max: 32},
		member(row.SetAdvertised("public"), pfx("fd00:77::/64")), member(row.SetWithheld(addr("127.0.1.1")), pfx("10.98.0.1/32")),
		row.BgpMember{Set: row.SetPeers, Net: pfx("0.0.0.0/0")},
		row.BgpMember{Set: row.SetRejected, Net: pfx("10.99.0.0/16"), Min: 16, Max: 32},
		member(row.SetExternals, pfx("127.0.1.1/32")), member(row.SetInternals, pfx("fd00:99::2/128")),
		row.BgpPeer{Addr: addr("127.0.1.1"), ASN: 65001, Local: addr("127.0.0.1"), Port: 17900, Hold: 90, LocalASN: 64599, Keepalive: 7, V4: true,
			TTL: 3, Password: "secret", BFD: row.BgpBFD{Port: 3784, Multiplier: 3, Tx: 300000, Rx: 200000}},
		row.BgpPeer{Addr: addr("127.0.1.2"), ASN: 64512, Node: "node-b", Local: addr("127.0.0.1"), Port: 17900, Hold: 30,
			V4: true, V6: true, Cluster: addr("0.0.0.7"), Restart: 90, Deferral: 1},
		row.BgpPeer{Addr: addr("fd00:99::2"), ASN: 64512, Node: "node-c", Local: addr("::1"), Port: 17900, Hold: 90, V6: true},
	}
	for i := len(all); i < n; i += 2 {
		p, hop := pfx("10.%d.%d.%d/32", 1+i>>16, i>>8&255, i&255), addr("127.0.0.1")
		if i%3 == 0 {
			p, hop = pfx("fd01::%x/128", i), addr("::1")
		}
		all = append(all, member(row.SetVIPs, p), row.BgpPath{Prefix: p, NextHop: hop})
	}
	return all[:n]
}

func other(r row.Bgp) (row.Bgp, bool) {
	switch r := r.(type) {
	case row.BgpSpeaker:
		r.ASN++
		return r, true
	case row.BgpPolicy:
		r.Statements[0].PrependAS, r.Statements[0].PrependTimes = 64999, 1
		return r, true
	case row.BgpRule:
		r.Statement.Path = row.AsMatch{How: row.AsContains, ASN: 23}
		return r, true
	case row.BgpPath:
		r.NextHop, r.LocalPref = r.NextHop.Next(), 200
		return r, true
	case row.BgpPeer:
		if r.Cluster.IsValid() {
			r.Cluster = netip.Addr{}
			return r, true
		}
		r.Password, r.Hold, r.TTL = "other", 60, 0
		return r, true
	}
	return nil, false
}

func bad() []row.Bgp {
	return []row.Bgp{
		row.BgpPath{Prefix: pfx("10.250.0.0/16"), NextHop: addr("::1")},
		row.BgpPeer{Addr: addr("127.0.3.1"), ASN: 65001, Local: addr("::1"), Port: 17900, Hold: 90, V4: true},
	}
}

func TestConformFake(t *testing.T) {
	var f *Fake
	conform.Target(t, conform.Config[row.BgpKey, row.Bgp]{
		World: func(testing.TB) { f = NewFake() },
		Open:  func(testing.TB) row.Target[row.BgpKey, row.Bgp] { return f },
		Rows:  rows, Change: other, Bad: bad,
	})
}

func TestConformSpeaker(t *testing.T) {
	dir := ""
	conform.Target(t, conform.Config[row.BgpKey, row.Bgp]{
		World: func(tb testing.TB) { dir = supervised(tb) },
		Open:  func(tb testing.TB) row.Target[row.BgpKey, row.Bgp] { return driver(tb, dir) },
		Rows:  rows, Change: other, Bad: bad,
	})
}
