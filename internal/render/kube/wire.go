package kube

import (
	"strconv"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Wire renders what a node says of itself to those that speak with it through WireGuard. Public keys alone are said.
func Wire(node string, w *intent.Wire, also intent.WireKey) []row.KubeAnnotation {
	rows := []row.KubeAnnotation{
		{Node: node, Name: row.AnnotationWireKey, Value: w.Key.String()},
		{Node: node, Name: row.AnnotationWirePort, Value: strconv.Itoa(int(w.Port))},
	}
	if also != (intent.WireKey{}) {
		rows = append(rows, row.KubeAnnotation{Node: node, Name: row.AnnotationWireAlso, Value: also.String()})
	}
	return rows
}
