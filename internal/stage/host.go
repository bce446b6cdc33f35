package stage

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/plan/host"
	"kube-router/internal/plan/route"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// hostStages carry the node's preparation and its routes from the model to rows.
func hostStages(l Ledgers) []think.Stage {
	return []think.Stage{
		{ID: think.Host, Plan: l.planHost},
		{ID: think.Egress, Units: egressUnits, Plan: l.planEgress},
		{ID: think.Inside, Plan: l.planInside},
		{ID: think.Forward, Plan: l.planForward},
		{ID: think.Route, Units: routeUnits, Plan: l.planRoute},
		l.guardStage(),
		l.wireStage(),
	}
}

// planHost plans bridge, sysctls and CNI file.
func (l Ledgers) planHost(m *model.Model, _ model.Ref) []model.Remark {
	owner := reconcile.Owner{Name: "host"}
	hosts, remarks := host.Plan(m)
	var links []row.Linux
	var sysctls []row.Sysctl
	var files []row.Conflist
	for _, h := range hosts {
		links = append(links, linux.Links(h)...)
		sysctls = append(sysctls, linux.Sysctls(h)...)
		files = append(files, linux.Conflists(h)...)
	}
	l.Linux.Claim(owner, links...)
	l.Sysctl.Claim(owner, sysctls...)
	l.CNI.Claim(owner, files...)
	return remarks
}

// egressUnits are every node, and what no other node has a say in.
func egressUnits(m *model.Model) []model.Ref {
	return append(m.Refs(model.KindNode), model.Ref{Kind: model.KindSettings})
}

// planEgress plans what leaves with the node's address: what a node adds to its exceptions, or the rest.
func (l Ledgers) planEgress(m *model.Model, u model.Ref) []model.Remark {
	var rows []row.Nft
	if u.Kind == model.KindNode {
		for _, p := range host.Peer(m, u.Name.Name) {
			rows = append(rows, nft.Peer(p)...)
		}
	} else {
		for _, e := range host.Egress(m) {
			rows = append(rows, nft.Egress(e)...)
		}
	}
	l.Nft.Claim(reconcile.Owner{Name: "egress: " + u.String()}, rows...)
	return nil
}

// planInside claims the static part of Services, which tells the pods of this node from other clients.
// A pod of another node that comes to a node port here is such another: its reply would go straight back.
func (l Ledgers) planInside(m *model.Model, _ model.Ref) []model.Remark {
	owner := reconcile.Owner{Name: "services"}
	l.Flows.Claim(owner, flowsInside(m)...)
	if !m.Settings.Proxy || m.Settings.Services.Engine == model.EngineIPVS {
		l.Nft.Claim(owner)
		return nil
	}
	l.Nft.Claim(owner, nft.ServiceSkeleton(serviceParams(m))...)
	return nil
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
	return []row.Flows{row.FlowsInside(blocks...)}
}

// serviceParams are what the static rules of Services depend on, with either engine.
func serviceParams(m *model.Model) nft.ServiceParams {
	set := &m.Settings
	return nft.ServiceParams{
		IPv4: set.IPv4, IPv6: set.IPv6, Inside: insideOf(m), Self: selfOf(m), Best: bestOf(m), Open: !set.Services.PermitAll, Ports: ownPorts(m),
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

// insideOf are the ranges of this node's pods.
func insideOf(m *model.Model) []netip.Prefix {
	if self := m.Self(); self != nil && len(self.PodCIDRs) > 0 {
		return self.PodCIDRs
	}
	return m.Settings.Routes.ClusterCIDRs
}

// routeUnits are every learned prefix, every node, and our own ranges.
func routeUnits(m *model.Model) []model.Ref {
	return append(append(m.Refs(model.KindPath), m.Refs(model.KindNode)...), model.Ref{Kind: model.KindSettings})
}

// planRoute plans the routes of one unit.
func (l Ledgers) planRoute(m *model.Model, u model.Ref) []model.Remark {
	var routes []*intent.Route
	var tables []*intent.PodTable
	var remarks []model.Remark
	switch u.Kind {
	case model.KindPath:
		if p, err := netip.ParsePrefix(u.Name.Name); err == nil {
			routes, remarks = route.Path(m, p)
		}
	case model.KindNode:
		routes, remarks = route.Node(m, u.Name.Name)
	default:
		routes, tables, remarks = route.Self(m)
		l.guardTunnels(m)
	}
	var rows []row.Linux
	for _, r := range routes {
		rows = append(rows, linux.Route(r)...)
	}
	for _, t := range tables {
		rows = append(rows, linux.PodTable(t)...)
	}
	l.Linux.Claim(reconcile.Owner{Name: u.String()}, rows...)
	l.Ways.note(m, u, routes)
	return remarks
}

// guardTunnels claims who may speak to this node's tunnels.
func (l Ledgers) guardTunnels(m *model.Model) {
	var rows []row.Nft
	for _, g := range route.Guard(m) {
		rows = append(rows, nft.TunnelGuard(g)...)
	}
	l.Nft.Claim(reconcile.Owner{Name: "tunnels"}, rows...)
}
