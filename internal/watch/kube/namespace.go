package kube

import (
	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

// ConvertNamespace takes over a Namespace's labels, which policies select by, and its annotations.
func ConvertNamespace(o *corev1.Namespace) *model.Namespace {
	n := &model.Namespace{Name: o.Name, Labels: o.Labels}
	if ours(o.Annotations) {
		r := &remarks{object: n.Ref()}
		parseAnnotations(n, r, namespaceAnnotations(), o.Annotations)
		n.Remarks = r.list
	}
	return n
}

// namespaceAnnotations is the table of a Namespace's annotations.
func namespaceAnnotations() []annotation[model.Namespace] {
	return []annotation[model.Namespace]{
		{"unguarded-pods", "true or false", "pods of the namespace may send from addresses that aren't theirs: virtual machines, VRRP (see Security)",
			func(n *model.Namespace, in input) { n.Unguarded = flag(in) }},
		{"socket-lb", "true or false", "false: Services see packets of the namespace's pods, as without --socket-lb; a pod's own annotation goes before",
			func(n *model.Namespace, in input) { n.AtSocket = override(in) }},
	}
}
