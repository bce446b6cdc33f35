package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report writes the status of a running pod.
func (p *Pod) report(ctx context.Context) {
	obj, _ := p.latest()
	now, started := metav1.NewTime(time.Now()), metav1.NewTime(p.started)
	ready := condition(obj, corev1.PodReady, p.ready, now)
	status := map[string]any{
		"phase": corev1.PodRunning, "startTime": started,
		"conditions": []corev1.PodCondition{
			condition(obj, corev1.PodScheduled, true, now), condition(obj, corev1.PodInitialized, true, now),
			condition(obj, corev1.ContainersReady, p.ready, now), ready,
		},
	}
	if ips := p.IPs(); len(ips) > 0 {
		var podIPs []corev1.PodIP
		for _, ip := range ips {
			podIPs = append(podIPs, corev1.PodIP{IP: ip.String()})
		}
		status["podIP"], status["podIPs"] = ips[0].String(), podIPs
	}
	if hosts := p.kubelet.HostIPs; len(hosts) > 0 {
		var hostIPs []corev1.HostIP
		for _, ip := range hosts {
			hostIPs = append(hostIPs, corev1.HostIP{IP: ip.String()})
		}
		status["hostIP"], status["hostIPs"] = hosts[0].String(), hostIPs
	}
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
	if p.daemon() && !p.ready {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Stopped", StartedAt: started, FinishedAt: now}}
	}
	var containers []corev1.ContainerStatus
	for _, c := range obj.Spec.Containers {
		containers = append(containers, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: p.ready, Started: &p.ready, ContainerID: "lab://" + string(obj.UID), State: state,
		})
	}
	status["containerStatuses"] = containers
	p.patch(ctx, obj, status)
}

func condition(obj *corev1.Pod, kind corev1.PodConditionType, is bool, now metav1.Time) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: now}
	if is {
		c.Status = corev1.ConditionTrue
	}
	for _, was := range obj.Status.Conditions {
		if was.Type == kind && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	return c
}

// complain writes why a pod doesn't start where "kubectl get pods" shows it.
func (p *Pod) complain(ctx context.Context, obj *corev1.Pod, why error) {
	var containers []corev1.ContainerStatus
	for _, c := range obj.Spec.Containers {
		containers = append(containers, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "NetworkNotReady", Message: why.Error()}},
		})
	}
	p.patch(ctx, obj, map[string]any{"phase": corev1.PodPending, "containerStatuses": containers})
}

func (p *Pod) patch(ctx context.Context, obj *corev1.Pod, status map[string]any) {
	err := p.kubelet.Client.Merge(ctx, obj, "status", map[string]any{"metadata": map[string]any{"uid": obj.UID}, "status": status})
	if err != nil && p.kubelet.run.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		p.kubelet.Log.Warn("report pod", "pod", p.Name(), "error", err)
	}
}
