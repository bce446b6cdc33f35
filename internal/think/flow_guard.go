package think

import (
	"maps"
	"slices"

	"kube-router/internal/model"
)

// freed are the ports of a namespace's pods, when it begins or ends to free them.
func freed(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Namespace)
	now, _ := c.New.(*model.Namespace)
	if (old != nil && old.Unguarded) == (now != nil && now.Unguarded) {
		return
	}
	for _, a := range m.Attached {
		if a.Pod.Namespace == c.Ref.Name.Name {
			add(a.Ref())
		}
	}
}

// answering are the ports of the pods that answer for a Service with direct server return, from its addresses.
func answering(m *model.Model, c Change, add func(model.Ref)) {
	direct := func(s *model.Service) bool { return s != nil && s.Options.DSR }
	if !m.Settings.Services.Engine.Can().Direct {
		return
	}
	for _, o := range []model.Object{c.Old, c.New} {
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
func podPorts(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Pod)
	now, _ := c.New.(*model.Pod)
	if !m.Settings.Services.Engine.Can().Direct || !m.Serves(c.Ref.Name) ||
		old != nil && now != nil && slices.Equal(old.Addrs, now.Addrs) && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for _, a := range m.AttachmentsOf(c.Ref.Name) {
		add(a.Ref())
	}
}
