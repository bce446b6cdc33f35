package think

import (
	"slices"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
)

// reporting is what is told of policies where a node says otherwise what it lacks, or another node is the one that tells; of nodes that
// come, go or fall silent the report alone tells.
func reporting(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	if old != nil && now != nil && old.NotReady == now.NotReady && old.Leaving == now.Leaving && slices.Equal(old.Options.Lacking, now.Options.Lacking) {
		return
	}
	if policy.Reports(m) == wasReporting(m, old, now) && slices.Equal(lacking(old), lacking(now)) {
		add(model.Ref{Kind: model.KindSettings})
		return
	}
	add(Everything)
}

func lacking(n *model.Node) []model.Ref {
	if n == nil {
		return nil
	}
	return n.Options.Lacking
}

// wasReporting tells whether this node told before a change of one node.
func wasReporting(m *model.Model, old, now *model.Node) bool {
	name := m.Settings.Node
	if old != nil && old.Name == name || now != nil && now.Name == name {
		return !policy.Reports(m) // of our own Node's changes, which are rare, everything is told anew
	}
	return policy.ReportedWith(m, old, now)
}
