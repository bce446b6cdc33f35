package stage

import (
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/l2"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// L2 plans what this node answers for on its links: all at once, since it is little and changes seldom.
type L2 struct {
	Answers *reconcile.Ledger[row.L2Answer, row.L2Answer]
	Watch   func([]intent.Watch) // hears whose silence would be ours to answer
}

// Stage is its place in a turn.
func (l L2) Stage() think.Stage {
	return think.Stage{ID: think.L2, Plan: func(m *model.Model, _ model.Ref) []model.Remark {
		answers, watched, remarks := l2.Plan(m)
		rows := make([]row.L2Answer, 0, len(answers))
		for _, a := range answers {
			rows = append(rows, row.L2Answer(a))
		}
		l.Answers.Claim(reconcile.Owner{Name: "l2"}, rows...)
		l.Watch(watched)
		return remarks
	}}
}
