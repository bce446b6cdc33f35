package apiserver

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The defaults below are those of the API documentation; only what a controller, a kubelet or kubectl looks at is filled in.

// orDefault sets *p if nothing is set there.
func orDefault[T comparable](p *T, value T) {
	if *p == *new(T) {
		*p = value
	}
}

// orPointer sets *p if it is nil.
func orPointer[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func defaultNamespace(obj Object) {
	ns := obj.(*corev1.Namespace)
	orDefault(&ns.Status.Phase, corev1.NamespaceActive)
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name // KEP-2161: policies select namespaces by it
	if len(ns.Spec.Finalizers) == 0 {
		ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	}
}

// defaultNode: podCIDR is the older spelling of podCIDRs[0].
func defaultNode(obj Object) {
	spec := &obj.(*corev1.Node).Spec
	switch {
	case len(spec.PodCIDRs) > 0:
		orDefault(&spec.PodCIDR, spec.PodCIDRs[0])
	case spec.PodCIDR != "":
		spec.PodCIDRs = []string{spec.PodCIDR}
	}
}

// defaultPod: podIP is the older spelling of podIPs[0].
func defaultPod(obj Object) {
	pod := obj.(*corev1.Pod)
	defaultPodSpec(&pod.Spec)
	orPointer(&pod.Spec.EnableServiceLinks, true)
	orDefault(&pod.Spec.ServiceAccountName, "default")
	status := &pod.Status
	orDefault(&status.Phase, corev1.PodPending)
	orDefault(&status.QOSClass, corev1.PodQOSBestEffort)
	switch {
	case len(status.PodIPs) > 0:
		orDefault(&status.PodIP, status.PodIPs[0].IP)
	case status.PodIP != "":
		status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	}
}

func defaultPodSpec(spec *corev1.PodSpec) {
	orDefault(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	orDefault(&spec.DNSPolicy, corev1.DNSClusterFirst)
	orDefault(&spec.SchedulerName, corev1.DefaultSchedulerName)
	orPointer(&spec.TerminationGracePeriodSeconds, int64(corev1.DefaultTerminationGracePeriodSeconds))
	orPointer(&spec.SecurityContext, corev1.PodSecurityContext{})
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			defaultContainer(&list[i], spec.HostNetwork)
		}
	}
}

func defaultContainer(c *corev1.Container, hostNetwork bool) {
	orDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	orDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	orDefault(&c.ImagePullPolicy, corev1.PullIfNotPresent)
	for i := range c.Ports {
		orDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
		if hostNetwork {
			orDefault(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
	for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
		if probe != nil {
			orDefault(&probe.TimeoutSeconds, 1)
			orDefault(&probe.PeriodSeconds, 10)
			orDefault(&probe.SuccessThreshold, 1)
			orDefault(&probe.FailureThreshold, 3)
		}
	}
}

func defaultService(obj Object) {
	spec := &obj.(*corev1.Service).Spec
	orDefault(&spec.Type, corev1.ServiceTypeClusterIP)
	orDefault(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	defaultAffinity(spec)
	for i := range spec.Ports {
		p := &spec.Ports[i]
		orDefault(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if spec.Type != corev1.ServiceTypeExternalName {
		orPointer(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if accessible(spec) {
		orDefault(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		orPointer(&spec.AllocateLoadBalancerNodePorts, true)
		for i := range obj.(*corev1.Service).Status.LoadBalancer.Ingress {
			if in := &obj.(*corev1.Service).Status.LoadBalancer.Ingress[i]; in.IP != "" {
				orPointer(&in.IPMode, corev1.LoadBalancerIPModeVIP) // KEP-1860
			}
		}
	}
}

// defaultAffinity: client affinity lasts three hours unless said otherwise.
func defaultAffinity(spec *corev1.ServiceSpec) {
	if spec.SessionAffinity == corev1.ServiceAffinityNone {
		spec.SessionAffinityConfig = nil
		return
	}
	orPointer(&spec.SessionAffinityConfig, corev1.SessionAffinityConfig{})
	orPointer(&spec.SessionAffinityConfig.ClientIP, corev1.ClientIPConfig{})
	orPointer(&spec.SessionAffinityConfig.ClientIP.TimeoutSeconds, int32(corev1.DefaultClientIPServiceAffinitySeconds))
}

func defaultSecret(obj Object) {
	secret := obj.(*corev1.Secret)
	orDefault(&secret.Type, corev1.SecretTypeOpaque)
	for name, text := range secret.StringData {
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[name] = []byte(text)
	}
	secret.StringData = nil
}

func defaultSlice(obj Object) {
	slice := obj.(*discoveryv1.EndpointSlice)
	for i := range slice.Ports {
		orPointer(&slice.Ports[i].Name, "")
		orPointer(&slice.Ports[i].Protocol, corev1.ProtocolTCP)
	}
}

// defaultPolicy: a policy is about ingress, and about egress too if it has egress rules.
func defaultPolicy(obj Object) {
	spec := &obj.(*networkingv1.NetworkPolicy).Spec
	if len(spec.PolicyTypes) == 0 {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(spec.Egress) > 0 {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for _, rule := range spec.Ingress {
		defaultPolicyPorts(rule.Ports)
	}
	for _, rule := range spec.Egress {
		defaultPolicyPorts(rule.Ports)
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		orPointer(&ports[i].Protocol, corev1.ProtocolTCP)
	}
}

func defaultDeployment(obj Object) {
	spec := &obj.(*appsv1.Deployment).Spec
	orPointer(&spec.Replicas, 1)
	orPointer(&spec.RevisionHistoryLimit, 10)
	orPointer(&spec.ProgressDeadlineSeconds, 600)
	orDefault(&spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		orPointer(&spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		orPointer(&spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
		orPointer(&spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	}
	defaultPodSpec(&spec.Template.Spec)
}

func defaultDaemonSet(obj Object) {
	spec := &obj.(*appsv1.DaemonSet).Spec
	orPointer(&spec.RevisionHistoryLimit, 10)
	orDefault(&spec.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		orPointer(&spec.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		orPointer(&spec.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
		orPointer(&spec.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	defaultPodSpec(&spec.Template.Spec)
}

func defaultReplicaSet(obj Object) {
	rs := obj.(*appsv1.ReplicaSet)
	orPointer(&rs.Spec.Replicas, 1)
	if rs.Spec.Selector == nil && len(rs.Spec.Template.Labels) > 0 {
		rs.Spec.Selector = &metav1.LabelSelector{MatchLabels: rs.Spec.Template.Labels}
	}
	defaultPodSpec(&rs.Spec.Template.Spec)
}
