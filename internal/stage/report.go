package stage

import (
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/kube"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// reportStage carries what is told of policies to rows: each ClusterNetworkPolicy is a unit, and all together are another. Planner gives
// that of policies, which may be nil.
func (l Ledgers) reportStage(planner func() *policy.Planner) think.Stage {
	reporter := &policy.Reporter{}
	return think.Stage{
		ID:    think.Report,
		Kinds: []model.Kind{model.KindClusterPolicy, model.KindSettings},
		Plan: func(m *model.Model, u model.Ref) []model.Remark {
			owner := reconcile.Owner{Name: "report: " + u.String()}
			var rows []row.KubePolicy
			if u == baseUnit {
				var lacks []string
				if p := planner(); p != nil {
					lacks = said(p.Lacks(m.Unwritten))
				}
				l.Notes.Claim(owner, kube.Lacking(m.Settings.Node, lacks)...)
				if r := reporter.All(m); r != nil {
					rows = append(rows, kube.PolicyReport(r))
				}
			} else if v := reporter.Cluster(m, u.Name.Name); v != nil {
				rows = append(rows, kube.PolicyVerdict(v))
			}
			l.Reports.Claim(owner, rows...)
			return nil
		},
	}
}

// said names policies as a node says them.
func said(policies []model.Ref) []string {
	var list []string
	for _, r := range policies {
		list = append(list, intent.LackingName(string(r.Kind), r.Name.String()))
	}
	return list
}
