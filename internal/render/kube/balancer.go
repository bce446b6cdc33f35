// Package kube renders intents in the words of the Kubernetes API: what we write into the status of objects.
package kube

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Balancer renders a Service's addresses.
func Balancer(b intent.Balancer) row.KubeIngress {
	return row.KubeIngress{Service: row.KubeName{Namespace: b.Namespace, Name: b.Name}, UID: b.UID, V4: b.V4, V6: b.V6, Shares: b.Shares}
}
