package agent

import (
	"maps"
	"slices"

	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// guardStage carries pods' attachments to the guards of their ports. Its units are the attachments, and what the guards lean on.
func (l ledgers) guardStage() stage {
	return stage{name: "guard", units: guardUnits, plan: l.planGuard}
}

func guardUnits(m *model.Model) []model.Ref {
	return append(m.Refs(model.KindAttachment), baseUnit)
}

func guardOwner(u model.Ref) reconcile.Owner { return reconcile.Owner{Name: "guard: " + u.String()} }

func (l ledgers) planGuard(m *model.Model, u model.Ref) []model.Remark {
	var rows []row.Nft
	switch {
	case u != baseUnit:
		if p := host.Port(m, u.Name); p != nil {
			rows = nft.GuardPort(p)
		}
	case m.Settings.Guards():
		rows = nft.GuardBase()
	}
	l.nft.Claim(guardOwner(u), rows...)
	return nil
}

// freed are the ports of a namespace's pods, when it begins or ends to free them.
func freed(m *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Namespace)
	now, _ := c.new.(*model.Namespace)
	if (old != nil && old.Unguarded) == (now != nil && now.Unguarded) {
		return
	}
	for _, a := range m.Attached {
		if a.Pod.Namespace == c.ref.Name.Name {
			add(a.Ref())
		}
	}
}

// answering are the ports of the pods that answer for a Service with direct server return, from its addresses.
func answering(m *model.Model, c change, add func(model.Ref)) {
	direct := func(s *model.Service) bool { return s != nil && s.Options.DSR }
	if m.Settings.Services.Engine != model.EngineIPVS {
		return
	}
	for _, o := range []model.Object{c.old, c.new} {
		switch o := o.(type) {
		case *model.Service:
			if !direct(o) {
				continue
			}
			for _, slice := range m.SlicesOf(o.Name) {
				endpointPorts(m, slice, add)
			}
		case *model.Slice:
			if direct(m.Services[o.Service]) {
				endpointPorts(m, o, add)
			}
		}
	}
}

func endpointPorts(m *model.Model, s *model.Slice, add func(model.Ref)) {
	for _, e := range s.Endpoints {
		for _, a := range m.AttachmentsOf(e.Pod) {
			add(a.Ref())
		}
	}
}

// podPorts are the ports of a pod that answers for some Service, which it may do by its labels and addresses.
func podPorts(m *model.Model, c change, add func(model.Ref)) {
	old, _ := c.old.(*model.Pod)
	now, _ := c.new.(*model.Pod)
	if m.Settings.Services.Engine != model.EngineIPVS || len(m.SlicesTo(c.ref.Name)) == 0 ||
		old != nil && now != nil && slices.Equal(old.Addrs, now.Addrs) && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for _, a := range m.AttachmentsOf(c.ref.Name) {
		add(a.Ref())
	}
}
