package kube

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Verdict renders what nodes find of an object about BGP.
func Verdict(v intent.Verdict) row.KubeVerdict {
	r := row.KubeVerdict{
		Object: row.KubeObject{Kind: v.Kind, Name: v.Name}, Generation: v.Generation, Nodes: v.Nodes,
		Accepted: row.KubeReason{Is: v.Why == "", Reason: v.Reason, Why: v.Why},
	}
	if v.Why == "" {
		r.Accepted.Reason = "Accepted"
	}
	return r
}
