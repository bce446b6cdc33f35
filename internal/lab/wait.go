package lab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"kube-router/internal/lab/kube"
)

// WaitReady waits until every Deployment and DaemonSet has its pods and every pod that is not being deleted is ready, or is meant not
// to be.
func (l *Lab) WaitReady(ctx context.Context) error {
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	return l.until(ctx, "pods to be ready", func() (waiting []string) {
		pods := kube.All[corev1.Pod](l.Watch.Pods, "")
		for _, d := range kube.All[appsv1.Deployment](l.Watch.Deployments, "") {
			if d.Status.ObservedGeneration < d.Generation || d.Spec.Replicas != nil && d.Status.ReadyReplicas != *d.Spec.Replicas {
				waiting = append(waiting, "deployment "+d.Name)
			}
		}
		for _, d := range kube.All[appsv1.DaemonSet](l.Watch.DaemonSets, "") {
			if d.Status.ObservedGeneration < d.Generation || d.Status.NumberReady != d.Status.DesiredNumberScheduled {
				waiting = append(waiting, "daemonset "+d.Name)
			}
		}
		for _, pod := range pods {
			if pod.DeletionTimestamp == nil && !settled(pod) {
				waiting = append(waiting, "pod "+pod.Name+why(pod))
			}
		}
		return waiting
	})
}

// catchUp waits until the watch knows what the API server knows now, what was just applied included.
func (l *Lab) catchUp(ctx context.Context) error {
	return l.until(ctx, "the watch", func() (waiting []string) {
		var deployments appsv1.DeploymentList
		var sets appsv1.DaemonSetList
		var pods corev1.PodList
		for _, list := range []runtime.Object{&deployments, &sets, &pods} {
			if err := l.Client.List(ctx, list, "", ""); err != nil {
				return []string{err.Error()}
			}
		}
		behind := func(informer cache.SharedIndexInformer, obj kube.Object) {
			was, ok, err := informer.GetIndexer().GetByKey(obj.GetNamespace() + "/" + obj.GetName())
			if err == nil && (!ok || older(was.(kube.Object), obj)) {
				waiting = append(waiting, obj.GetName())
			}
		}
		for i := range deployments.Items {
			behind(l.Watch.Deployments, &deployments.Items[i])
		}
		for i := range sets.Items {
			behind(l.Watch.DaemonSets, &sets.Items[i])
		}
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil {
				behind(l.Watch.Pods, &pods.Items[i])
			}
		}
		return waiting
	})
}

// older compares resource versions, which are numbers that grow (KEP-5504).
func older(a, b kube.Object) bool {
	x, errX := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	y, errY := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return errX == nil && errY == nil && x < y
}

// settled is a pod that is ready, or that runs and is meant not to be ready.
func settled(pod *corev1.Pod) bool {
	if pod.Annotations["lab/ready"] == "false" {
		return pod.Status.Phase == corev1.PodRunning
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// why is what the kubelet says about a pod that doesn't start.
func why(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting != nil && c.State.Waiting.Message != "" {
			return " (" + c.State.Waiting.Message + ")"
		}
	}
	return ""
}

// WaitGone waits until the pods of a namespace and name prefix are gone.
func (l *Lab) WaitGone(ctx context.Context, namespace, prefix string) error {
	return l.until(ctx, "pods to be gone", func() (waiting []string) {
		for _, pod := range kube.All[corev1.Pod](l.Watch.Pods, namespace) {
			if strings.HasPrefix(pod.Name, prefix) {
				waiting = append(waiting, pod.Name)
			}
		}
		return waiting
	})
}

// Until waits until ask returns nil, and fails with its last error when the context ends first.
func (l *Lab) Until(ctx context.Context, what string, ask func() error) error {
	return l.until(ctx, what, func() []string {
		if err := ask(); err != nil {
			return []string{err.Error()}
		}
		return nil
	})
}

// until asks again and again what is still waited for, until nothing is. A daemon that ended although it should run ends the waiting.
func (l *Lab) until(ctx context.Context, what string, waiting func() []string) error {
	for {
		left := waiting()
		if len(left) == 0 {
			return nil
		}
		for _, n := range l.Nodes() {
			if d := n.started.Load(); d != nil && !n.DaemonRunning() && d.err != nil && !d.wanted {
				return fmt.Errorf("waiting for %s: %s", what, n.ended())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; still waiting for:\n  %s", what, ctx.Err(), strings.Join(left[:min(len(left), 10)], "\n  "))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
