package kube

import (
	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

// ConvertNamespace takes over a Namespace's labels, which policies select by.
func ConvertNamespace(o *corev1.Namespace) *model.Namespace {
	return &model.Namespace{Name: o.Name, Labels: o.Labels}
}
