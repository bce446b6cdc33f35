package think

import (
	"maps"
	"net/netip"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

// gatewayBase is what stands for all pods.
func gatewayBase(_ *model.Model, _ Change, add func(model.Ref)) {
	add(model.Ref{Kind: model.KindSettings})
}

// leavers are the pods that a change may make leave otherwise: the pod itself, and those that say to have an address of it.
func leavers(m *model.Model, c Change, add func(model.Ref)) {
	for _, o := range []model.Object{c.Old, c.New} {
		switch o := o.(type) {
		case *model.Pod:
			add(o.Ref())
			namesakes(m, o.Addrs, add)
			for _, at := range m.AttachmentsOf(o.Name) {
				namesakes(m, at.Addrs, add)
			}
		case *model.Attachment:
			add(model.Ref{Kind: model.KindPod, Name: o.Pod})
			namesakes(m, o.Addrs, add)
		}
	}
}

func namesakes(m *model.Model, addrs []netip.Addr, add func(model.Ref)) {
	for _, a := range addrs {
		for name := range m.PodsAt(a) {
			add(model.Ref{Kind: model.KindPod, Name: name})
		}
	}
}

// leavingNamespace are the pods of a namespace whose labels are others now.
func leavingNamespace(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Namespace)
	now, _ := c.New.(*model.Namespace)
	if len(m.Gateways) == 0 || old != nil && now != nil && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for name := range m.Pods {
		if name.Namespace == c.Ref.Name.Name {
			add(model.Ref{Kind: model.KindPod, Name: name})
		}
	}
}

// leavingNode is what stands for all pods, and every pod when our own Node is another now: it may be a gateway.
func leavingNode(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	add(model.Ref{Kind: model.KindSettings})
	if c.Ref.Name.Name == m.Settings.Node && (old == nil || now == nil || !maps.Equal(old.Labels, now.Labels)) {
		add(Everything)
	}
}

// leavingService is everything when a Service has, or had, an address that a gateway names.
func leavingService(m *model.Model, c Change, add func(model.Ref)) {
	if len(m.Gateways) == 0 {
		return
	}
	for _, o := range []model.Object{c.Old, c.New} {
		s, ok := o.(*model.Service)
		if !ok {
			continue
		}
		for _, a := range s.Addrs() {
			if holder.Egressing(m, a) {
				add(Everything)
			}
		}
	}
}
