package stage

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/plan/host"
	"kube-router/internal/plan/route"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// hereOf finds the addresses of this node. The model doesn't have those of our own links.
func hereOf(m *model.Model) here {
	p := here{name: m.Settings.Node, own: map[netip.Addr]bool{}, bridge: m.Settings.Router}
	if self := m.Self(); self != nil {
		p.self = [2]netip.Addr{self.IP(model.IPv4), self.IP(model.IPv6)}
	}
	for _, l := range m.Links {
		for _, prefix := range l.Addrs {
			p.own[prefix.Addr()] = true
		}
	}
	return p
}

func uplinksOf(m *model.Model) []string {
	var names []string
	if self := m.Self(); self != nil {
		if l := m.LinkWith(self.IP(model.IPv4)); l != nil {
			names = append(names, l.Name)
		}
	}
	return names
}

// podMTU is the MTU of the links of pods, as far as it is known.
func podMTU(m *model.Model) int {
	hosts, _ := host.Plan(m)
	for _, h := range hosts {
		if h.MTU > 0 {
			return h.MTU
		}
	}
	if self := m.Self(); self != nil {
		for _, f := range m.Settings.Families() {
			if l := m.LinkWith(self.IP(f)); l != nil {
				return l.MTU
			}
		}
	}
	return 0
}

// flowsInside tells which clients are not outside for externalTrafficPolicy Local: pods of this node, and the node.
func flowsInside(m *model.Model) []row.Flows {
	if !m.Settings.Proxy {
		return nil
	}
	blocks := slices.Clone(insideOf(m))
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			blocks = append(blocks, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return []row.Flows{row.FlowsInside(bestOf(m), blocks...)}
}

// serviceParams are what the static rules of Services depend on, with either engine.
func serviceParams(m *model.Model) nft.ServiceParams {
	set := &m.Settings
	return nft.ServiceParams{
		IPv4: set.IPv4, IPv6: set.IPv6, Inside: insideOf(m), Self: selfOf(m), Best: bestOf(m), Sure: sureOf(m), Open: !set.Services.PermitAll, Ports: ownPorts(m),
	}
}

// ownPorts are the ports at which kube-router itself listens on the nodes.
func ownPorts(m *model.Model) []nft.OwnPort {
	const tcp, udp = 6, 17
	var list []nft.OwnPort
	s := &m.Settings
	for _, p := range s.Listens {
		list = append(list, nft.OwnPort{Proto: tcp, Port: uint16(p)})
	}
	if s.Router {
		list = append(list, nft.OwnPort{Proto: tcp, Port: uint16(s.BGP.Port)})
		if len(advert.BFD(m)) > 0 {
			list = append(list, nft.OwnPort{Proto: udp, Port: intent.BFDPort})
		}
	}
	for _, g := range route.Guard(m) {
		if g.Port != 0 {
			list = append(list, nft.OwnPort{Proto: udp, Port: g.Port})
		}
	}
	return list
}

// selfOf are the addresses by which others know this node.
func selfOf(m *model.Model) []netip.Addr {
	if self := m.Self(); self != nil {
		list := slices.Concat(self.InternalIPs, self.ExternalIPs)
		slices.SortFunc(list, netip.Addr.Compare)
		return slices.Compact(list)
	}
	return nil
}

// bestOf are the addresses by which nodes know this one, one for each family that it has.
func bestOf(m *model.Model) []netip.Addr {
	var list []netip.Addr
	for _, f := range m.Settings.Families() {
		if self := m.Self(); self != nil && self.IP(f).IsValid() {
			list = append(list, self.IP(f))
		}
	}
	return list
}

// sureOf are those of bestOf that a link of this node has.
func sureOf(m *model.Model) []netip.Addr {
	return slices.DeleteFunc(bestOf(m), func(a netip.Addr) bool { return m.LinkOwning(a) == nil })
}

// insideOf are the ranges of this node's pods.
func insideOf(m *model.Model) []netip.Prefix {
	if self := m.Self(); self != nil && len(self.PodCIDRs) > 0 {
		return self.PodCIDRs
	}
	return m.Settings.Routes.ClusterCIDRs
}
