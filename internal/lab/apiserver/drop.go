package apiserver

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// dropUnused clears what a Service of the new type doesn't have, where the change leaves it as it was: then the server filled it in, or
// the user means the type alone. What the change names as well stays, and validation refuses it. Fields that nobody allocates, such as
// selector, loadBalancerIP and loadBalancerSourceRanges, stay. It is what the API server does as of Kubernetes 1.29.
func dropUnused(svc, was *corev1.Service) {
	spec, old := &svc.Spec, &was.Spec
	if spec.Type == corev1.ServiceTypeExternalName && old.Type != corev1.ServiceTypeExternalName {
		dropAddresses(spec, old)
	}
	if hasNodePorts(old) && !hasNodePorts(spec) && noNewNodePorts(spec, old) {
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	if wantsHealthCheck(old) && !wantsHealthCheck(spec) && spec.HealthCheckNodePort == old.HealthCheckNodePort {
		spec.HealthCheckNodePort = 0
	}
	if old.Type == corev1.ServiceTypeLoadBalancer && spec.Type != corev1.ServiceTypeLoadBalancer {
		dropSame(&spec.AllocateLoadBalancerNodePorts, old.AllocateLoadBalancerNodePorts)
		dropSame(&spec.LoadBalancerClass, old.LoadBalancerClass)
		svc.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
	if accessible(old) && !accessible(spec) && spec.ExternalTrafficPolicy == old.ExternalTrafficPolicy {
		spec.ExternalTrafficPolicy = ""
	}
}

// dropAddresses: an ExternalName has neither addresses nor families.
func dropAddresses(spec, old *corev1.ServiceSpec) {
	if spec.ClusterIP == old.ClusterIP && slices.Equal(spec.ClusterIPs, old.ClusterIPs) {
		spec.ClusterIP, spec.ClusterIPs = "", nil
	}
	if slices.Equal(spec.IPFamilies, old.IPFamilies) {
		spec.IPFamilies = nil
	}
	dropSame(&spec.IPFamilyPolicy, old.IPFamilyPolicy)
}

// dropSame clears a field that is as it was.
func dropSame[T comparable](now **T, was *T) {
	if *now != nil && was != nil && **now == *was {
		*now = nil
	}
}

// noNewNodePorts is true if every node port was one of the Service's before.
func noNewNodePorts(spec, old *corev1.ServiceSpec) bool {
	for _, p := range spec.Ports {
		if p.NodePort != 0 && !slices.ContainsFunc(old.Ports, func(o corev1.ServicePort) bool { return o.NodePort == p.NodePort }) {
			return false
		}
	}
	return true
}

// accessible is true for a Service that is reached from outside of the cluster: externalTrafficPolicy is about those.
func accessible(spec *corev1.ServiceSpec) bool {
	return hasNodePorts(spec) || spec.Type == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) > 0
}
