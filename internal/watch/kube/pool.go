package kube

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// mostRanges is how many ranges a pool may have, and how many exceptions.
const mostRanges = 64

// convertPool takes over an AddressPool.
func convertPool(meta *metav1.ObjectMeta, spec *api.AddressPoolSpec, r *remarks) *model.Pool {
	p := &model.Pool{
		Name:       meta.Name,
		UID:        string(meta.UID),
		Generation: meta.Generation,
		Created:    meta.CreationTimestamp.Time,
		AutoAssign: truth(spec.AutoAssign, true),
		AvoidEdges: truth(spec.AvoidEdges, true),
		Priority:   100,
		Disabled:   spec.Disabled,
		Namespaces: selectorOr(r, "spec.namespaceSelector", spec.NamespaceSelector),
		Services:   selectorOr(r, "spec.serviceSelector", spec.ServiceSelector),
		Nodes:      selectorOr(r, "spec.nodeSelector", spec.NodeSelector),
	}
	if spec.Priority != nil {
		p.Priority = *spec.Priority
	}
	p.Ranges = poolRanges(r, "spec.addresses[%d]", spec.Addresses)
	p.Exclude = collect(r, "spec.exclude[%d]", spec.Exclude, addrRange)
	if len(p.Ranges) == 0 {
		r.add("spec.addresses", "the pool has no address")
	}
	p.Balancer = len(spec.Uses) == 0
	for i, use := range spec.Uses {
		switch use {
		case "LoadBalancer":
			p.Balancer = true
		case "Egress":
			p.Egress = true
		default:
			r.add(fmt.Sprintf("spec.uses[%d]", i), "%q ignored: neither LoadBalancer nor Egress", use)
		}
	}
	p.Remarks = r.list
	return p
}

// poolRanges reads the ranges of a pool: addresses that may be somebody's, none of them twice.
func poolRanges(r *remarks, field string, list []string) []model.AddrRange {
	var good []model.AddrRange
	for i, text := range list {
		a, err := addrRange(text)
		other := slices.IndexFunc(good, func(b model.AddrRange) bool { return a.First.IsValid() && a.Overlaps(b) })
		switch {
		case i >= mostRanges:
			r.add(element(field, i), "ignored: more than %d ranges", mostRanges)
			return good
		case err != nil:
			r.add(element(field, i), "%s", err)
		case special(a.First) != "" || special(a.Last) != "":
			r.add(element(field, i), "%s ignored: it has %s address", a, cmp.Or(special(a.First), special(a.Last)))
		case other >= 0:
			r.add(element(field, i), "%s ignored: it overlaps %s", a, good[other])
		default:
			good = append(good, a)
		}
	}
	return good
}
