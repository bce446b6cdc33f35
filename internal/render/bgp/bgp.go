package bgp

import (
	"net/netip"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Speaker renders the speaker with its peers, its policy and what it announces by itself.
func Speaker(b *intent.BGP) []row.Bgp {
	speaker := row.BgpSpeaker{ASN: b.Speaker.ASN, RouterID: b.Speaker.RouterID, Port: b.Speaker.Port, MultiPath: true}
	copy(speaker.Listen[:], b.Speaker.Listen)
	rows := []row.Bgp{speaker}
	rows = append(rows, exchange(b.Exchange)...)
	for _, a := range b.Announces {
		rows = append(rows, Announce(a)...)
	}
	for _, n := range b.Neighbors {
		rows = append(rows, Neighbor(n)...)
	}
	for _, h := range b.Held {
		rows = append(rows, Held(h))
	}
	for _, o := range b.Outlets {
		rows = append(rows, outlet(b.Exchange, o)...)
	}
	for _, w := range b.Withheld {
		rows = append(rows, Withheld(w))
	}
	return rows
}

// Held renders a range in which routers outside may teach nothing.
func Held(h *intent.Held) row.Bgp {
	return row.BgpMember{Set: row.SetHeld.Of(h.Prefix.Addr()), Net: h.Prefix, Min: h.Min, Max: h.Max}
}

// Announce renders a prefix that we originate: its path, and its place in the set that says where it goes.
func Announce(a *intent.Announce) []row.Bgp {
	set := map[intent.AnnounceKind]row.BgpSet{
		intent.AnnouncePods: row.SetPods, intent.AnnouncePodsOut: row.SetPodsOut, intent.AnnounceVIP: row.SetVIPs,
	}[a.Kind]
	if a.Via != "" {
		return []row.Bgp{
			exactly(row.SetAdvertised(a.Via), a.Prefix), exactly(row.SetOwn, a.Prefix),
			row.BgpPath{Prefix: a.Prefix, NextHop: a.NextHop, LocalPref: a.LocalPref},
		}
	}
	return []row.Bgp{
		exactly(set, a.Prefix),
		row.BgpPath{Prefix: a.Prefix, NextHop: a.NextHop, LocalPref: a.LocalPref},
	}
}

// exactly is a member that matches one prefix alone.
func exactly(set row.BgpSet, p netip.Prefix) row.BgpMember {
	return row.BgpMember{Set: set.Of(p.Addr()), Net: p, Min: uint8(p.Bits()), Max: uint8(p.Bits())}
}

// Neighbor renders a peer and its place in a set of peers.
func Neighbor(n *intent.Neighbor) []row.Bgp {
	set := row.SetExternals
	if n.Node != "" {
		set = row.SetInternals
	}
	peer := row.BgpPeer{
		Addr: n.Addr, ASN: n.ASN, LocalASN: n.LocalASN, Node: n.Node, Local: n.Local, Port: n.Port, TTL: n.TTL, MinTTL: n.MinTTL, Limit: n.Limit, Hold: seconds(n.Hold),
		Keepalive: seconds(n.Keepalive),
		V4:        n.V4, V6: n.V6, Cluster: n.Cluster, Password: row.BgpSecret(n.Password),
		Restart: uint16(seconds(n.Restart)), Deferral: uint16(seconds(n.Deferral)),
	}
	if b := n.BFD; b != nil {
		peer.BFD = row.BgpBFD{Port: b.Port, Multiplier: b.Multiplier, Tx: uint32(b.Tx.Microseconds()), Rx: uint32(b.Rx.Microseconds())}
	}
	return append(filter(n), exactly(set, netip.PrefixFrom(n.Addr, n.Addr.BitLen())), peer)
}

// seconds rounds up: what is less than a second is not nothing.
func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }
