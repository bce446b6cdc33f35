package kube

import (
	"path"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// convertL2 takes over an L2Advertisement.
func convertL2(meta *metav1.ObjectMeta, spec *api.L2AdvertisementSpec, r *remarks) *model.L2Advertisement {
	a := &model.L2Advertisement{
		Name:     meta.Name,
		UID:      string(meta.UID),
		Pools:    spec.Pools,
		Services: selectorOr(r, "spec.serviceSelector", spec.ServiceSelector),
		Nodes:    selectorOr(r, "spec.nodeSelector", spec.NodeSelector),
	}
	for i, p := range spec.Interfaces {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			r.add(element("spec.interfaces[%d]", i), "%q ignored: no pattern of a link's name", p)
			continue
		}
		a.Links = append(a.Links, p)
	}
	if len(a.Links) == 0 && len(spec.Interfaces) > 0 {
		r.add("spec.interfaces", "no link is left, so nobody answers")
		a.Nodes = model.Selector{Invalid: true}
	}
	a.Remarks = r.list
	return a
}
