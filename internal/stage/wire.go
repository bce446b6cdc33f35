package stage

import (
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/encryption"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/kube"
	"kube-router/internal/render/linux"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// wireOwner wins over owners of routes in the pods' table: a tunnel that encrypts before one that doesn't.
const wireOwner = -1

// wireStage carries encryption from the model to rows: each other node is a unit, and this one is another.
func (l Ledgers) wireStage() think.Stage {
	return think.Stage{ID: think.Wire, Kinds: []model.Kind{model.KindNode, model.KindSettings}, Plan: l.planWire}
}

func (l Ledgers) planWire(m *model.Model, u model.Ref) []model.Remark {
	owner := reconcile.Owner{Rank: wireOwner, Name: "encryption: " + u.String()}
	if u.Kind == model.KindNode {
		p, remarks := encryption.Peer(m, u.Name.Name)
		var rows []row.Linux
		if p != nil {
			rows = linux.WirePeer(p)
		}
		l.Linux.Claim(owner, rows...)
		return remarks
	}
	w, remarks := encryption.Self(m, podMTU(m))
	var links []row.Linux
	var sysctls []row.Sysctl
	var notes []row.KubeAnnotation
	if w != nil {
		links, sysctls = linux.Wire(w), linux.WireSysctls()
		notes = kube.Wire(m.Settings.Node, w, intent.WireKey(m.Identity().Also))
	}
	for _, r := range encryption.Unrouted(m) {
		links = append(links, linux.Route(r)...)
	}
	var rules []row.Nft
	if g := encryption.Guard(m); g != nil {
		rules = nft.WireGuardian(g)
	}
	l.Linux.Claim(owner, links...)
	l.Sysctl.Claim(owner, sysctls...)
	l.Nft.Claim(owner, rules...)
	l.Notes.Claim(owner, notes...)
	return remarks
}
