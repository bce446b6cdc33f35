package stage

import (
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// guardStage carries pods' attachments to the guards of their ports. Its units are the attachments, and what the guards lean on.
func (l Ledgers) guardStage() think.Stage {
	return think.Stage{ID: think.Guard, Kinds: []model.Kind{model.KindAttachment, model.KindSettings}, Plan: l.planGuard}
}

func guardOwner(u model.Ref) reconcile.Owner { return reconcile.Owner{Name: "guard: " + u.String()} }

func (l Ledgers) planGuard(m *model.Model, u model.Ref) []model.Remark {
	var rows []row.Nft
	switch {
	case u != baseUnit:
		if p := host.Port(m, u.Name); p != nil {
			rows = nft.GuardPort(p)
		}
	case m.Settings.Guards():
		rows = nft.GuardBase()
	}
	l.Nft.Claim(guardOwner(u), rows...)
	return nil
}
