package kube

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Pool renders what an AddressPool has left.
func Pool(p intent.Pool) row.KubePool {
	r := row.KubePool{
		Name: p.Name, Generation: p.Generation, V4: usage(p.V4), V6: usage(p.V6),
		Ready:     row.KubeReason{Is: true, Reason: "Ready"},
		Conflict:  row.KubeReason{Reason: "Disjoint"},
		Exhausted: row.KubeReason{Reason: "Available"},
	}
	if p.Idle != "" {
		r.Ready = row.KubeReason{Reason: "Idle", Why: p.Idle}
	}
	if p.Conflict != "" {
		r.Conflict = row.KubeReason{Is: true, Reason: "Overlap", Why: p.Conflict}
	}
	if p.Exhausted != "" {
		r.Exhausted = row.KubeReason{Is: true, Reason: "NothingLeft", Why: "no address is left: " + p.Exhausted}
	}
	return r
}

func usage(u *intent.Usage) row.KubeUsage {
	if u == nil {
		return row.KubeUsage{}
	}
	return row.KubeUsage{Has: true, Total: u.Total, Assigned: u.Assigned, Available: u.Available}
}
