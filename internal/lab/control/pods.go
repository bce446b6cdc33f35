package control

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"

	"kube-router/internal/lab/kube"
)

// schedule gives an unbound pod to the next node that takes it, in turn.
func (p *Plane) schedule(ctx context.Context, key string) error {
	pod := kube.Find[corev1.Pod](p.watch.Pods, key)
	if pod == nil || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return nil
	}
	nodes := slices.DeleteFunc(kube.All[corev1.Node](p.watch.Nodes, ""), func(n *corev1.Node) bool {
		return n.Spec.Unschedulable || !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(n.Labels))
	})
	if len(nodes) == 0 {
		return nil // until a node changes
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	node := nodes[p.next%len(nodes)].Name
	err := p.client.Bind(ctx, pod, node)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or bound by another
	}
	if err == nil {
		p.next++
	}
	return err
}

// family is a Deployment's or DaemonSet's pods.
type family struct {
	owner    kube.Object
	kind     string
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	hash     string
}

func (p *Plane) members(ctx context.Context, f family) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(f.selector)
	if err != nil {
		return nil, fmt.Errorf("selector of %s: %w", f.owner.GetName(), err)
	}
	var list corev1.PodList // not from the cache, which may not know yet what the last turn did
	if err := p.client.List(ctx, &list, f.owner.GetNamespace(), selector.String()); err != nil {
		return nil, err
	}
	var mine []*corev1.Pod
	for i := range list.Items {
		if pod := &list.Items[i]; metav1.IsControlledBy(pod, f.owner) && pod.DeletionTimestamp == nil {
			mine = append(mine, pod)
		}
	}
	return mine, nil
}

func (p *Plane) bear(ctx context.Context, f family, node string) error {
	pod := &corev1.Pod{ObjectMeta: *f.template.ObjectMeta.DeepCopy(), Spec: *f.template.Spec.DeepCopy()}
	pod.Namespace = f.owner.GetNamespace()
	pod.Name = fmt.Sprintf("%s-%s-%s", f.owner.GetName(), f.hash, rand.String(5))
	pod.Labels = labels.Merge(pod.Labels, labels.Set{appsv1.DefaultDeploymentUniqueLabelKey: f.hash})
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(f.owner, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: f.kind})}
	if node != "" {
		pod.Spec.NodeName = node
	}
	return p.client.Create(ctx, pod)
}

// orphans deletes the pods of an owner that is gone, which a cluster's garbage collector would.
func (p *Plane) orphans(ctx context.Context, kind, key string) error {
	namespace, name, _ := strings.Cut(key, "/")
	for _, pod := range kube.All[corev1.Pod](p.watch.Pods, namespace) {
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind != kind || owner.Name != name || pod.DeletionTimestamp != nil {
			continue
		}
		if err := p.client.Delete(ctx, pod, nil); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// deployment keeps a Deployment's pods without a ReplicaSet between. A changed template brings new pods first, maxSurge at a time, and
// takes an old one away for each new one that is ready.
func (p *Plane) deployment(ctx context.Context, key string) error {
	d := kube.Find[appsv1.Deployment](p.watch.Deployments, key)
	if d == nil || d.DeletionTimestamp != nil {
		return p.orphans(ctx, "Deployment", key)
	}
	f := family{d, "Deployment", d.Spec.Selector, d.Spec.Template, hashOf(&d.Spec.Template)}
	pods, err := p.members(ctx, f)
	if err != nil {
		return err
	}
	want := 1
	if d.Spec.Replicas != nil {
		want = int(*d.Spec.Replicas)
	}
	fresh, old := split(pods, f.hash)
	room := max(want+surge(d, want)-len(pods), 0)
	for range min(room, want-len(fresh)) {
		if err := p.bear(ctx, f, ""); err != nil {
			return err
		}
	}
	for _, pod := range surplus(fresh, old, want) {
		if err := p.client.Delete(ctx, pod, nil); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return p.report(ctx, d, want, pods, fresh)
}

func split(pods []*corev1.Pod, hash string) (fresh, old []*corev1.Pod) {
	for _, pod := range pods {
		if pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == hash {
			fresh = append(fresh, pod)
		} else {
			old = append(old, pod)
		}
	}
	return fresh, old
}

// surplus chooses the pods that can go: fresh ones beyond want, and old ones as far as ready pods in the wanted number remain.
func surplus(fresh, old []*corev1.Pod, want int) []*corev1.Pod {
	unreadyFirst := func(a, b *corev1.Pod) int {
		return strings.Compare(fmt.Sprint(isReady(a)), fmt.Sprint(isReady(b)))
	}
	slices.SortStableFunc(fresh, unreadyFirst)
	slices.SortStableFunc(old, unreadyFirst)
	var gone []*corev1.Pod
	if n := len(fresh) - want; n > 0 {
		gone = append(gone, fresh[:n]...)
		fresh = fresh[n:]
	}
	ready := 0
	for _, pod := range append(slices.Clone(fresh), old...) {
		if isReady(pod) {
			ready++
		}
	}
	for _, pod := range old {
		if isReady(pod) {
			if ready <= want {
				break
			}
			ready--
		}
		gone = append(gone, pod)
	}
	return gone
}

func surge(d *appsv1.Deployment, want int) int {
	n := 0
	if r := d.Spec.Strategy.RollingUpdate; r != nil && r.MaxSurge != nil {
		n, _ = intstr.GetScaledValueFromIntOrPercent(r.MaxSurge, want, true)
	}
	return max(n, 1)
}

func (p *Plane) report(ctx context.Context, d *appsv1.Deployment, want int, pods, fresh []*corev1.Pod) error {
	var ready int32
	for _, pod := range pods {
		if isReady(pod) {
			ready++
		}
	}
	status := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: int32(len(pods)), UpdatedReplicas: int32(len(fresh)),
		ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: max(int32(want)-ready, 0),
	}
	was := d.Status
	if was.ObservedGeneration == status.ObservedGeneration && was.Replicas == status.Replicas && was.UpdatedReplicas == status.UpdatedReplicas && was.ReadyReplicas == status.ReadyReplicas {
		return nil
	}
	return p.client.Merge(ctx, d, "status", map[string]any{"status": map[string]any{
		"observedGeneration": status.ObservedGeneration, "replicas": status.Replicas, "updatedReplicas": status.UpdatedReplicas,
		"readyReplicas": status.ReadyReplicas, "availableReplicas": status.AvailableReplicas, "unavailableReplicas": status.UnavailableReplicas,
	}})
}

func hashOf(t *corev1.PodTemplateSpec) string {
	h := fnv.New32a()
	if text, err := json.Marshal(t); err == nil { // no API type fails to marshal
		h.Write(text)
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
