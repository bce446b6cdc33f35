package linux

import (
	"crypto/sha256"
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// refuseMetric is worse than that of any route to real pods, so that theirs win while they exist.
const refuseMetric = 65535

// vni is the VXLAN network identifier of our vxlan links: the number of the pods' routing table.
const vni = 77

// Route renders a route, with the tunnels it goes through. Nodes behind a tunnel also get a route in the pods'
// table, as in the reference, so that packets from pods to the node itself take the tunnel as well.
func Route(r *intent.Route) []row.Linux {
	if r.Refuse {
		return []row.Linux{row.Route{Table: row.TableMain, Dst: r.Prefix, Metric: refuseMetric, Kind: row.RouteUnreachable}}
	}
	var rows []row.Linux
	var hops []row.Hop
	mtu := 0
	if r.Spare != nil {
		rows = tunnel(r.Spare)
	}
	for _, h := range r.Hops {
		if h.Tunnel == nil {
			hops = append(hops, row.Hop{Via: h.Via, Dev: h.Dev})
			continue
		}
		hop := tunnelHop(h.Tunnel)
		hops = append(hops, hop)
		if h.Tunnel.Encap == intent.WireGuard {
			continue // its link and its hosts belong to the peer
		}
		rows = append(rows, tunnel(h.Tunnel)...)
		rows = append(rows, row.Route{Table: row.TablePods, Dst: host(h.Tunnel.Remote), Hops: row.MakeHops(hop)})
		mtu = h.Tunnel.MTU
	}
	return append(rows, row.Route{
		Table: row.TableMain, Dst: r.Prefix, Hops: row.MakeHops(hops...), Src: r.Source, MTU: mtu,
	})
}

// PodTable renders the rules that send packets from pods to the pods' table.
func PodTable(t *intent.PodTable) []row.Linux {
	var rows []row.Linux
	for _, p := range t.Sources {
		rows = append(rows, row.Rule{Priority: row.RulePods, V6: p.Addr().Is6(), Src: p, Table: row.TablePods})
	}
	return rows
}

func tunnelHop(t *intent.Tunnel) row.Hop {
	if t.Encap == intent.WireGuard {
		return row.Hop{Dev: row.WireName}
	}
	if t.Encap == intent.VXLAN {
		via := vxlanVia(t.Remote)
		return row.Hop{Via: via, Dev: vxlanName(t), Onlink: via.Is4()}
	}
	return row.Hop{Dev: row.TunnelName(t.Remote)}
}

// tunnel renders the links of a tunnel.
func tunnel(t *intent.Tunnel) []row.Linux {
	if t.Encap == intent.VXLAN {
		return vxlan(t)
	}
	v6 := t.Remote.Is6()
	link := row.Link{
		Name: row.TunnelName(t.Remote), Kind: row.LinkIPIP, MTU: t.MTU, Local: t.Local, Remote: t.Remote, Port: t.Port,
	}
	if v6 {
		link.Kind = row.LinkIP6Tnl
	}
	if t.Encap == intent.FOU {
		return []row.Linux{row.FouPort{V6: v6, Port: t.Port}, link}
	}
	return []row.Linux{link}
}

// vxlan renders the node's one vxlan link of a family and the far node's fixed place on it: a static
// neighbour and forwarding entry, so that nothing is flooded and nothing is learned from packets.
func vxlan(t *intent.Tunnel) []row.Linux {
	mac := vxlanMAC(t.Remote)
	return []row.Linux{
		row.Link{
			Name: vxlanName(t), Kind: row.LinkVxlan, MTU: t.MTU, MAC: vxlanMAC(t.Local), Local: t.Local, VNI: vni, Port: t.Port,
		},
		row.Neigh{Dev: vxlanName(t), Addr: vxlanVia(t.Remote), MAC: mac},
		row.Neigh{Dev: vxlanName(t), Addr: t.Remote, MAC: mac, Fdb: true},
	}
}

func vxlanName(t *intent.Tunnel) string {
	if t.Remote.Is6() {
		return row.Vxlan6Name
	}
	return row.VxlanName
}

// vxlanMAC derives a node's MAC on the vxlan link from its address, so that nobody needs to be told it. An IPv4
// address fits in whole; an IPv6 address is hashed to 46 bits. Both are unicast and locally administered
// (IEEE 802, section 8.4).
func vxlanMAC(a netip.Addr) row.MAC {
	if a.Is4() {
		b := a.As4()
		return row.MAC{0x0a, vni, b[0], b[1], b[2], b[3]}
	}
	b := a.As16()
	sum := sha256.Sum256(b[:])
	return row.MAC{sum[0]&^0x03 | 0x02, sum[1], sum[2], sum[3], sum[4], sum[5]}
}

// vxlanVia is a node's address on the vxlan link. In IPv4 it is the node's own. In IPv6 it is the link-local
// address of its MAC (RFC 4291, appendix A), since Linux refuses a next hop on one link that another link's subnet
// holds, even with onlink.
func vxlanVia(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	m := vxlanMAC(a)
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 0x02, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
