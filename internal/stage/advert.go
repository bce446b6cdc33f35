package stage

import (
	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/bgp"
	"kube-router/internal/render/kube"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// advertStage carries announcements from the model to rows: the speaker is one unit, each node and each Service another.
func (l Ledgers) advertStage() think.Stage {
	memo := &holder.Memo{}
	return think.Stage{
		ID:    think.Advert,
		Kinds: []model.Kind{model.KindService, model.KindNode, model.KindOverflow, model.KindBGPPeer, model.KindBGPAd, model.KindSettings},
		Plan:  func(m *model.Model, u model.Ref) []model.Remark { return l.planAdvert(m, u, memo) },
	}
}

func (l Ledgers) planAdvert(m *model.Model, u model.Ref, memo *holder.Memo) []model.Remark {
	var rows []row.Bgp
	var remarks []model.Remark
	owner := reconcile.Owner{Name: u.String()}
	switch u.Kind {
	case model.KindService:
		var list []*intent.Announce
		list, remarks = advert.Service(m, u.Name, memo)
		for _, a := range list {
			rows = append(rows, bgp.Announce(a)...)
		}
		for _, w := range advert.Withheld(m, list) {
			rows = append(rows, bgp.Withheld(w))
		}
	case model.KindNode:
		var list []*intent.Neighbor
		list, remarks = advert.Session(m, u.Name.Name)
		for _, n := range list {
			rows = append(rows, bgp.Neighbor(n)...)
		}
		for _, h := range advert.Held(m, u.Name.Name) {
			rows = append(rows, bgp.Held(h))
		}
	case model.KindOverflow:
		remarks = advert.Overflow(m, u.Name.Name)
	case model.KindBGPAd:
		var list []intent.Verdict
		list, remarks = advert.Advertisement(m, u.Name.Name)
		l.claimVerdicts(owner, list)
		return remarks
	case model.KindBGPPeer:
		var list []intent.Verdict
		list, remarks = advert.Peer(m, u.Name.Name)
		l.claimVerdicts(owner, list)
		return remarks
	default:
		owner.Name = "BGP"
		var b *intent.BGP
		if b, remarks = advert.Speaker(m); b != nil {
			rows = bgp.Speaker(b)
		}
		l.guardBFD(m)
	}
	l.BGP.Claim(owner, rows...)
	return remarks
}

// claimVerdicts claims the status of an object about BGP, if it is for this node to tell.
func (l Ledgers) claimVerdicts(owner reconcile.Owner, list []intent.Verdict) {
	var rows []row.KubeVerdict
	for _, v := range list {
		rows = append(rows, kube.Verdict(v))
	}
	l.Verdicts.Claim(owner, rows...)
}

// guardBFD claims whose BFD packets this node takes.
func (l Ledgers) guardBFD(m *model.Model) {
	var rows []row.Nft
	for _, g := range advert.BFD(m) {
		rows = append(rows, nft.BFDGuard(g)...)
	}
	l.Nft.Claim(reconcile.Owner{Name: "BFD"}, rows...)
}
