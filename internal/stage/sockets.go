package stage

import (
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/socket"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/sock"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// socketStage carries network namespaces to what is served at connect(); the node's own brings the programs.
func (l Ledgers) socketStage() think.Stage {
	return think.Stage{ID: think.Socket, Kinds: []model.Kind{model.KindAttachment, model.KindSettings}, Plan: l.planSocket}
}

func (l Ledgers) planSocket(m *model.Model, u model.Ref) []model.Remark {
	var rows []row.Bpf
	space, served := socket.Space(m, u)
	if served {
		rows = append(rows, sock.Space(space))
	}
	var remarks []model.Remark
	if u == socket.Node {
		remarks = socket.Remarks(m)
		if served {
			rows = append(rows, sock.Programs(m.Settings.Socket.CgroupRoot, l.BpfTags)...)
		}
	}
	l.Bpf.Claim(reconcile.Owner{Name: "sockets: " + u.String()}, rows...)
	return remarks
}

// AtSocket tells why connect() to a frontend is left to packets; served: it is not.
func AtSocket(f *intent.Service) (why string, served bool) {
	why = sock.Why(f)
	return why, why == ""
}
