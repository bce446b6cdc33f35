package control

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"kube-router/internal/lab/kube"
)

// daemonSet keeps one pod on each node that its template takes.
func (p *Plane) daemonSet(ctx context.Context, key string) error {
	d := kube.Find[appsv1.DaemonSet](p.watch.DaemonSets, key)
	if d == nil || d.DeletionTimestamp != nil {
		return p.orphans(ctx, "DaemonSet", key)
	}
	f := family{d, "DaemonSet", d.Spec.Selector, d.Spec.Template, hashOf(&d.Spec.Template)}
	pods, err := p.members(ctx, f)
	if err != nil {
		return err
	}
	has, ready := map[string]bool{}, 0
	for _, pod := range pods {
		stale := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != f.hash
		if has[pod.Spec.NodeName] || stale {
			if err := p.client.Delete(ctx, pod, nil); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			continue
		}
		has[pod.Spec.NodeName] = true
		if isReady(pod) {
			ready++
		}
	}
	want := 0
	for _, node := range kube.All[corev1.Node](p.watch.Nodes, "") {
		if !labels.SelectorFromSet(d.Spec.Template.Spec.NodeSelector).Matches(labels.Set(node.Labels)) {
			continue
		}
		want++
		if !has[node.Name] {
			if err := p.bear(ctx, f, node.Name); err != nil {
				return err
			}
		}
	}
	return p.reportSet(ctx, d, want, len(has), ready)
}

func (p *Plane) reportSet(ctx context.Context, d *appsv1.DaemonSet, want, have, ready int) error {
	was := d.Status
	if was.ObservedGeneration == d.Generation && was.DesiredNumberScheduled == int32(want) && was.CurrentNumberScheduled == int32(have) && was.NumberReady == int32(ready) {
		return nil
	}
	return p.client.Merge(ctx, d, "status", map[string]any{"status": map[string]any{
		"observedGeneration": d.Generation, "desiredNumberScheduled": want, "currentNumberScheduled": have, "updatedNumberScheduled": have,
		"numberReady": ready, "numberAvailable": ready, "numberUnavailable": max(want-ready, 0), "numberMisscheduled": 0,
	}})
}
