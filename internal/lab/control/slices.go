package control

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kube-router/internal/lab/kube"
)

const (
	manager  = "endpointslice-controller.k8s.io" // the name that clusters know it by
	capacity = 100                               // endpoints a slice, kube-controller-manager's default
)

// endpoints makes the slices of one Service what they should be with as few writes as can be: an endpoint stays in the slice that it
// is in, new ones fill up what has room, and what gains or changes is written before anything is deleted.
func (p *Plane) endpoints(ctx context.Context, key string) error {
	namespace, name, _ := strings.Cut(key, "/")
	since, triggered := p.triggers.LoadAndDelete(key)
	var list discoveryv1.EndpointSliceList
	selector := discoveryv1.LabelServiceName + "=" + name + "," + discoveryv1.LabelManagedBy + "=" + manager
	if err := p.client.List(ctx, &list, namespace, selector); err != nil {
		return err
	}
	svc := kube.Find[corev1.Service](p.watch.Services, key)
	if svc != nil && (len(svc.Spec.Selector) == 0 || svc.Spec.Type == corev1.ServiceTypeExternalName) {
		return nil // its slices are somebody else's business
	}
	var left map[group]*wanted
	if svc != nil {
		left = p.want(svc)
	}
	writes, gone := arrange(svc, list.Items, left)
	for _, slice := range writes {
		if triggered {
			if slice.Annotations == nil {
				slice.Annotations = map[string]string{}
			}
			slice.Annotations[corev1.EndpointsLastChangeTriggerTime] = since.(time.Time).UTC().Format(time.RFC3339Nano)
		}
		if err := p.write(ctx, slice); err != nil {
			if triggered {
				p.triggers.LoadOrStore(key, since)
			}
			return err
		}
	}
	for _, slice := range gone {
		if err := p.client.Delete(ctx, slice, nil); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (p *Plane) write(ctx context.Context, slice *discoveryv1.EndpointSlice) error {
	if slice.UID == "" {
		return p.client.Create(ctx, slice)
	}
	return p.client.Update(ctx, slice)
}

// arrange divides the wanted endpoints among the slices that are there and new ones; left is used up.
func arrange(svc *corev1.Service, have []discoveryv1.EndpointSlice, left map[group]*wanted) (writes, gone []*discoveryv1.EndpointSlice) {
	kept := map[group][]*discoveryv1.EndpointSlice{}
	changed := map[*discoveryv1.EndpointSlice]bool{}
	for i := range have {
		slice := &have[i]
		g := groupOf(slice.AddressType, slice.Ports)
		if left[g] == nil {
			gone = append(gone, slice)
			continue
		}
		changed[slice] = keep(svc, slice, left[g])
		kept[g] = append(kept[g], slice)
	}
	for g, w := range left {
		for _, slice := range kept[g] {
			n := min(capacity-len(slice.Endpoints), len(w.endpoints))
			if n > 0 {
				slice.Endpoints = append(slice.Endpoints, w.endpoints[:n]...)
				w.endpoints, changed[slice] = w.endpoints[n:], true
			}
		}
		for len(w.endpoints) > 0 || len(kept[g]) == 0 {
			slice := newSlice(svc, g, w)
			n := min(capacity, len(w.endpoints))
			slice.Endpoints, w.endpoints = w.endpoints[:n:n], w.endpoints[n:]
			kept[g] = append(kept[g], slice)
			changed[slice] = true
		}
		for i, slice := range kept[g] {
			switch {
			case i > 0 && len(slice.Endpoints) == 0:
				gone = append(gone, slice)
			case changed[slice]:
				writes = append(writes, slice)
			}
		}
	}
	return writes, gone
}

// keep brings the slice's endpoints up to date, drops those that are no longer wanted, and takes the rest off the wanted list.
func keep(svc *corev1.Service, slice *discoveryv1.EndpointSlice, w *wanted) (changed bool) {
	byPod := map[string]int{}
	for i, e := range w.endpoints {
		byPod[string(e.TargetRef.UID)] = i
	}
	var stay []discoveryv1.Endpoint
	placed := map[int]bool{}
	for _, e := range slice.Endpoints {
		if e.TargetRef == nil {
			continue
		}
		if i, ok := byPod[string(e.TargetRef.UID)]; ok && !placed[i] {
			placed[i] = true
			stay = append(stay, w.endpoints[i])
		}
	}
	var rest []discoveryv1.Endpoint
	for i, e := range w.endpoints {
		if !placed[i] {
			rest = append(rest, e)
		}
	}
	labels := labelsOf(svc)
	changed = !equality.Semantic.DeepEqual(stay, slice.Endpoints) || !equality.Semantic.DeepEqual(labels, slice.Labels)
	slice.Endpoints, slice.Labels, w.endpoints = stay, labels, rest
	if slice.Endpoints == nil {
		slice.Endpoints = []discoveryv1.Endpoint{}
	}
	return changed
}
