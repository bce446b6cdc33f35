package think

import (
	"maps"
	"slices"

	"kube-router/internal/model"
)

// answered is all that is answered for on links, when there is any advertisement and the change counts; nil: each does.
func answered(counts func(m *model.Model, c Change) bool) touch {
	return func(m *model.Model, c Change, add func(model.Ref)) {
		if len(m.L2) > 0 && (counts == nil || counts(m, c)) {
			add(Everything)
		}
	}
}

// localSlice tells whether a slice is of a Service that may bind its address to nodes with endpoints.
func localSlice(m *model.Model, c Change) bool {
	for _, o := range []model.Object{c.Old, c.New} {
		if slice, ok := o.(*model.Slice); ok {
			if s := m.Services[slice.Service]; s != nil && s.Type == model.LoadBalancer && (s.External == model.Local || s.Options.Local) {
				return true
			}
		}
	}
	return false
}

// eligible tells whether a Node may answer otherwise than before.
func eligible(_ *model.Model, c Change) bool {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	return old == nil || now == nil || old.NotReady != now.NotReady || old.Leaving != now.Leaving || old.ExcludeFromLB != now.ExcludeFromLB ||
		old.Unschedulable != now.Unschedulable || !maps.Equal(old.Labels, now.Labels) ||
		!slices.Equal(old.InternalIPs, now.InternalIPs) || !slices.Equal(old.ExternalIPs, now.ExternalIPs)
}
