package kube

import (
	"cmp"
	"fmt"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The bounds of what is told: the names of nodes and the remarks in one message, and policies in the report.
const (
	mostNamed   = 10
	mostRemarks = 20
	mostLines   = 200
)

// PolicyVerdict renders what the nodes found of a policy. Where it is in force everywhere the number of nodes is not told: it would be
// written anew with each node that comes or goes.
func PolicyVerdict(v *intent.PolicyVerdict) row.KubePolicy {
	r := row.KubePolicyVerdict{
		Object: row.KubeObject{Kind: v.Kind, Name: v.Name}, Generation: v.Generation,
		Accepted: row.KubeReason{Is: true, Reason: "Accepted", Why: "everything in it is understood"},
		InForce:  row.KubeReason{Is: true, Reason: "InForce", Why: "no node tells that it is not in force there"},
	}
	if n := len(v.Ignored); n > 0 {
		r.Accepted = row.KubeReason{Reason: "NotUnderstood", Why: strings.Join(v.Ignored[:min(n, mostRemarks)], "; ")}
		if n > mostRemarks {
			r.Accepted.Why += fmt.Sprintf("; and %d more", n-mostRemarks)
		}
	}
	if len(v.Lacking) > 0 {
		r.InForce = row.KubeReason{Reason: "RowsFail", Why: lacking(v)}
	}
	return r
}

func lacking(v *intent.PolicyVerdict) string {
	n := len(v.Lacking)
	text := fmt.Sprintf("in force on %d of %d nodes, not on %s", v.Nodes-int64(n), v.Nodes, strings.Join(v.Lacking[:min(n, mostNamed)], ", "))
	if n > mostNamed {
		text += fmt.Sprintf(" and %d more", n-mostNamed)
	}
	return text
}

// PolicyReport renders what the nodes found of all policies. The object is the one of its kind.
func PolicyReport(r *intent.PolicyReport) row.KubePolicy {
	var lines []string
	for i := range r.Lacking {
		if i == mostLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(r.Lacking)-mostLines))
			break
		}
		v := &r.Lacking[i]
		who := strings.TrimSpace(v.Kind + " " + v.Name)
		lines = append(lines, cmp.Or(who, "all policies")+": "+lacking(v))
	}
	return row.KubePolicyReport{Object: row.KubePolicyStatus(), Nodes: r.Nodes, Silent: r.Silent, Lacking: strings.Join(lines, "\n")}
}

// Lacking renders what a node says of itself: which policies it lacks.
func Lacking(node string, policies []string) []row.KubeAnnotation {
	if len(policies) == 0 {
		return nil
	}
	return []row.KubeAnnotation{{Node: node, Name: row.AnnotationLacking, Value: strings.Join(policies, ",")}}
}
