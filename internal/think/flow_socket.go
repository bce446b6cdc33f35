package think

import "kube-router/internal/model"

// podSockets are a pod's network namespaces, when it begins or ends to be known, or what it says about its sockets is another.
func podSockets(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Pod)
	now, _ := c.New.(*model.Pod)
	if old != nil && now != nil && old.UID == now.UID && old.Packets == now.Packets && same(old.AtSocket, now.AtSocket) {
		return
	}
	for _, a := range m.AttachmentsOf(c.Ref.Name) {
		add(a.Ref())
	}
}

// namespaceSockets are the network namespaces of a namespace's pods, when what it says about them is another.
func namespaceSockets(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Namespace)
	now, _ := c.New.(*model.Namespace)
	var was, is *bool
	if old != nil {
		was = old.AtSocket
	}
	if now != nil {
		is = now.AtSocket
	}
	if (old == nil) == (now == nil) && same(was, is) {
		return
	}
	for _, a := range m.Attached {
		if a.Pod.Namespace == c.Ref.Name.Name {
			add(a.Ref())
		}
	}
}

func same(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }
