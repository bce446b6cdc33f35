package kube

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// convertEgress takes over an EgressGateway. Without a selector of namespaces it selects nothing: whom such an object was meant for nobody can
// know.
func convertEgress(meta *metav1.ObjectMeta, spec *api.EgressGatewaySpec, r *remarks) *model.EgressGateway {
	g := &model.EgressGateway{
		Name:       meta.Name,
		UID:        string(meta.UID),
		Generation: meta.Generation,
		Created:    meta.CreationTimestamp.Time,
		Namespaces: model.Selector{Invalid: true},
		Pods:       selectorOr(r, "spec.podSelector", spec.PodSelector),
		Nodes:      selectorOr(r, "spec.nodeSelector", spec.NodeSelector),
		Pool:       spec.Pool,
		Except:     collect(r, "spec.exceptDestinations[%d]", spec.ExceptDestinations, parsePrefix),
	}
	if spec.NamespaceSelector != nil {
		g.Namespaces = selector(r, "spec.namespaceSelector", spec.NamespaceSelector)
	} else {
		r.add("spec.namespaceSelector", "absent, so no pod is selected; {} selects those of all namespaces")
	}
	switch {
	case spec.Pool != "" && len(spec.Addresses) > 0:
		r.add("spec.addresses", "ignored: spec.pool says whose addresses to leave from")
	case spec.Pool == "":
		if g.Addresses = poolRanges(r, "spec.addresses[%d]", spec.Addresses); len(g.Addresses) == 0 {
			r.add("spec.addresses", "there is no address to leave from, so selected pods don't leave")
		}
	}
	g.Remarks = r.list
	return g
}
