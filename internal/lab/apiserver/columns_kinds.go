package apiserver

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func namespaceColumns() []column {
	return []column{nameColumn(), col("Status", func(o *corev1.Namespace) any { return o.Status.Phase }), ageColumn()}
}

func nodeColumns() []column {
	address := func(typ corev1.NodeAddressType) func(*corev1.Node) any {
		return func(o *corev1.Node) any {
			for _, a := range o.Status.Addresses {
				if a.Type == typ {
					return a.Address
				}
			}
			return "<none>"
		}
	}
	return []column{nameColumn(), col("Status", nodeStatus), col("Roles", nodeRoles), ageColumn(),
		col("Version", func(o *corev1.Node) any { return o.Status.NodeInfo.KubeletVersion }),
		wide("Internal-IP", address(corev1.NodeInternalIP)), wide("External-IP", address(corev1.NodeExternalIP)),
		wide("OS-Image", func(o *corev1.Node) any { return cmp.Or(o.Status.NodeInfo.OSImage, "<unknown>") }),
		wide("Kernel-Version", func(o *corev1.Node) any { return cmp.Or(o.Status.NodeInfo.KernelVersion, "<unknown>") }),
		wide("Container-Runtime", func(o *corev1.Node) any { return cmp.Or(o.Status.NodeInfo.ContainerRuntimeVersion, "<unknown>") })}
}

func nodeStatus(o *corev1.Node) any {
	status := "Unknown"
	for _, c := range o.Status.Conditions {
		switch {
		case c.Type != corev1.NodeReady:
		case c.Status == corev1.ConditionTrue:
			status = "Ready"
		default:
			status = "NotReady"
		}
	}
	if o.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(o *corev1.Node) any {
	var roles []string
	for label := range o.Labels {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok && role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return join(roles)
}

func podColumns() []column {
	return []column{nameColumn(), col("Ready", podReady), col("Status", podStatus), col("Restarts", podRestarts), ageColumn(),
		wide("IP", func(o *corev1.Pod) any { return cmp.Or(o.Status.PodIP, "<none>") }),
		wide("Node", func(o *corev1.Pod) any { return cmp.Or(o.Spec.NodeName, "<none>") }),
		wide("Nominated Node", func(o *corev1.Pod) any { return cmp.Or(o.Status.NominatedNodeName, "<none>") }),
		wide("Readiness Gates", func(o *corev1.Pod) any { return "<none>" })}
}

func podReady(o *corev1.Pod) any {
	ready := 0
	for _, c := range o.Status.ContainerStatuses {
		if c.Ready {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(o.Spec.Containers))
}

func podStatus(o *corev1.Pod) any {
	if o.DeletionTimestamp != nil {
		return "Terminating"
	}
	status := cmp.Or(o.Status.Reason, string(o.Status.Phase))
	for _, c := range o.Status.ContainerStatuses {
		if c.State.Waiting != nil && c.State.Waiting.Reason != "" {
			status = c.State.Waiting.Reason
		}
	}
	return status
}

func podRestarts(o *corev1.Pod) any {
	restarts := 0
	for _, c := range o.Status.ContainerStatuses {
		restarts += int(c.RestartCount)
	}
	return strconv.Itoa(restarts)
}

func serviceColumns() []column {
	return []column{nameColumn(), col("Type", func(o *corev1.Service) any { return o.Spec.Type }),
		col("Cluster-IP", func(o *corev1.Service) any { return cmp.Or(o.Spec.ClusterIP, "<none>") }),
		col("External-IP", serviceOutside), col("Port(s)", servicePortText), ageColumn(),
		wide("Selector", func(o *corev1.Service) any { return labelText(o.Spec.Selector) })}
}

func serviceOutside(o *corev1.Service) any {
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		return o.Spec.ExternalName
	}
	var ips []string
	for _, in := range o.Status.LoadBalancer.Ingress {
		ips = append(ips, cmp.Or(in.IP, in.Hostname))
	}
	ips = append(ips, o.Spec.ExternalIPs...)
	if len(ips) == 0 && o.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return "<pending>"
	}
	return join(ips)
}

func servicePortText(o *corev1.Service) any {
	var ports []string
	for _, p := range o.Spec.Ports {
		text := strconv.Itoa(int(p.Port))
		if p.NodePort != 0 {
			text += ":" + strconv.Itoa(int(p.NodePort))
		}
		ports = append(ports, text+"/"+string(p.Protocol))
	}
	return join(ports)
}

func configMapColumns() []column {
	return []column{nameColumn(), col("Data", func(o *corev1.ConfigMap) any { return len(o.Data) + len(o.BinaryData) }), ageColumn()}
}

func secretColumns() []column {
	return []column{nameColumn(), col("Type", func(o *corev1.Secret) any { return o.Type }), col("Data", func(o *corev1.Secret) any { return len(o.Data) }), ageColumn()}
}

func eventColumns() []column {
	return []column{col("Last Seen", func(o *corev1.Event) any {
		if o.LastTimestamp.IsZero() {
			return age(metav1.NewTime(o.EventTime.Time))
		}
		return age(o.LastTimestamp)
	}), col("Type", func(o *corev1.Event) any { return o.Type }), col("Reason", func(o *corev1.Event) any { return o.Reason }),
		col("Object", func(o *corev1.Event) any { return strings.ToLower(o.InvolvedObject.Kind) + "/" + o.InvolvedObject.Name }),
		wide("Source", func(o *corev1.Event) any { return cmp.Or(o.ReportingController, o.Source.Component) }),
		col("Message", func(o *corev1.Event) any { return strings.TrimSpace(o.Message) }),
		wide("Count", func(o *corev1.Event) any { return strconv.Itoa(int(max(1, o.Count))) }),
		wide("Name", func(o *corev1.Event) any { return o.Name })}
}

func deploymentColumns() []column {
	return []column{nameColumn(), col("Ready", func(o *appsv1.Deployment) any {
		return fmt.Sprintf("%d/%d", o.Status.ReadyReplicas, replicas(o.Spec.Replicas))
	}),
		col("Up-to-date", func(o *appsv1.Deployment) any { return strconv.Itoa(int(o.Status.UpdatedReplicas)) }),
		col("Available", func(o *appsv1.Deployment) any { return strconv.Itoa(int(o.Status.AvailableReplicas)) }), ageColumn(),
		wide("Containers", func(o *appsv1.Deployment) any { return containerNames(o.Spec.Template.Spec) }),
		wide("Images", func(o *appsv1.Deployment) any { return containerImages(o.Spec.Template.Spec) }),
		wide("Selector", func(o *appsv1.Deployment) any { return metav1.FormatLabelSelector(o.Spec.Selector) })}
}

func replicas(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

func replicaSetColumns() []column {
	return []column{nameColumn(), col("Desired", func(o *appsv1.ReplicaSet) any { return strconv.Itoa(int(replicas(o.Spec.Replicas))) }),
		col("Current", func(o *appsv1.ReplicaSet) any { return strconv.Itoa(int(o.Status.Replicas)) }),
		col("Ready", func(o *appsv1.ReplicaSet) any { return strconv.Itoa(int(o.Status.ReadyReplicas)) }), ageColumn(),
		wide("Selector", func(o *appsv1.ReplicaSet) any { return metav1.FormatLabelSelector(o.Spec.Selector) })}
}

func daemonSetColumns() []column {
	return []column{nameColumn(), col("Desired", func(o *appsv1.DaemonSet) any { return strconv.Itoa(int(o.Status.DesiredNumberScheduled)) }),
		col("Current", func(o *appsv1.DaemonSet) any { return strconv.Itoa(int(o.Status.CurrentNumberScheduled)) }),
		col("Ready", func(o *appsv1.DaemonSet) any { return strconv.Itoa(int(o.Status.NumberReady)) }), ageColumn(),
		wide("Selector", func(o *appsv1.DaemonSet) any { return metav1.FormatLabelSelector(o.Spec.Selector) })}
}

func leaseColumns() []column {
	return []column{nameColumn(), col("Holder", func(o *coordinationv1.Lease) any {
		if o.Spec.HolderIdentity == nil {
			return ""
		}
		return *o.Spec.HolderIdentity
	}), ageColumn()}
}

func sliceColumns() []column {
	return []column{nameColumn(), col("AddressType", func(o *discoveryv1.EndpointSlice) any { return o.AddressType }),
		col("Ports", func(o *discoveryv1.EndpointSlice) any {
			var ports []string
			for _, p := range o.Ports {
				if p.Port == nil {
					ports = append(ports, "*")
					continue
				}
				ports = append(ports, strconv.Itoa(int(*p.Port)))
			}
			return cmp.Or(strings.Join(ports, ","), "<unset>")
		}), col("Endpoints", func(o *discoveryv1.EndpointSlice) any {
			var all []string
			for _, ep := range o.Endpoints {
				all = append(all, ep.Addresses...)
			}
			return cmp.Or(strings.ReplaceAll(first(all), "<none>", ""), "<unset>")
		}), ageColumn()}
}

func policyColumns() []column {
	return []column{nameColumn(), col("Pod-Selector", func(o *networkingv1.NetworkPolicy) any { return metav1.FormatLabelSelector(&o.Spec.PodSelector) }), ageColumn()}
}
