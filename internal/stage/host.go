package stage

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/model"
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
		{ID: think.Egress, Kinds: []model.Kind{model.KindNode, model.KindSettings}, Plan: l.planEgress},
		{ID: think.Forward, Plan: l.planForward},
		{ID: think.Route, Kinds: []model.Kind{model.KindPath, model.KindNode, model.KindSettings}, Plan: l.planRoute},
		l.guardStage(),
		l.wireStage(),
		l.socketStage(),
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
