package linux

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Forward are the rules that accept packets of pods in a chain of others.
func Forward(f *intent.Forward) []row.Forward {
	var rows []row.Forward
	for _, p := range f.Pods {
		for _, m := range []row.ForwardMatch{row.ForwardTo, row.ForwardFrom, row.ForwardReply} {
			rows = append(rows, row.Forward{Net: p, Match: m, Last: f.Last})
		}
	}
	return rows
}
