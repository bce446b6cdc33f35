package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab/kube"
)

// podChanged has the slices of every Service looked at that the change concerns.
func (p *Plane) podChanged(slices *loop, old, now *corev1.Pod) {
	if old != nil && now != nil && sameEndpoint(old, now) {
		return
	}
	namespace := ""
	for _, pod := range []*corev1.Pod{old, now} {
		if pod != nil {
			namespace = pod.Namespace
		}
	}
	for _, svc := range kube.All[corev1.Service](p.watch.Services, namespace) {
		if takes(svc, old) || takes(svc, now) {
			p.serviceChanged(slices, svc)
		}
	}
}

// serviceChanged remembers when the oldest change came that the slices don't show yet (KEP-752), and has them looked at.
func (p *Plane) serviceChanged(slices *loop, svc *corev1.Service) {
	p.triggers.LoadOrStore(svc.Namespace+"/"+svc.Name, time.Now())
	slices.add(svc)
}

func takes(svc *corev1.Service, pod *corev1.Pod) bool {
	return pod != nil && len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(pod.Labels))
}

func sameEndpoint(a, b *corev1.Pod) bool {
	return isReady(a) == isReady(b) && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) && a.Status.Phase == b.Status.Phase &&
		a.Spec.NodeName == b.Spec.NodeName && equality.Semantic.DeepEqual(a.Status.PodIPs, b.Status.PodIPs) && equality.Semantic.DeepEqual(a.Labels, b.Labels)
}

// group is what endpoints must have in common to stand in one slice.
type group struct {
	family discoveryv1.AddressType
	ports  string
}

func groupOf(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) group {
	var text strings.Builder
	for _, port := range ports {
		fmt.Fprintf(&text, "%s/%s/%d/%s ", deref(port.Name), deref(port.Protocol), deref(port.Port), deref(port.AppProtocol))
	}
	return group{family, text.String()}
}

// wanted is what the slices of a group should hold.
type wanted struct {
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

// want works out a Service's endpoints by group. A family without any has one group without ports, for one empty slice.
func (p *Plane) want(svc *corev1.Service) map[group]*wanted {
	all := map[group]*wanted{}
	pods := kube.All[corev1.Pod](p.watch.Pods, svc.Namespace)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, family := range svc.Spec.IPFamilies {
		kind, some := discoveryv1.AddressType(family), false
		for _, pod := range pods {
			addr, ok := addressOf(pod, family)
			if !ok || !takes(svc, pod) || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
				continue
			}
			ports := portsOf(svc, pod)
			g := groupOf(kind, ports)
			if all[g] == nil {
				all[g] = &wanted{ports: ports}
			}
			all[g].endpoints = append(all[g].endpoints, p.endpoint(svc, pod, addr))
			some = true
		}
		if !some {
			all[group{kind, ""}] = &wanted{}
		}
	}
	return all
}

func addressOf(pod *corev1.Pod, family corev1.IPFamily) (string, bool) {
	for _, ip := range pod.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil && addr.Is6() == (family == corev1.IPv6Protocol) {
			return ip.IP, true
		}
	}
	return "", false
}

// portsOf resolves a Service's ports in one pod. A named port that the pod doesn't have is left out, as the API says.
func portsOf(svc *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for _, sp := range svc.Spec.Ports {
		protocol := sp.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		number, ok := sp.TargetPort.IntVal, true
		switch {
		case sp.TargetPort.Type == intstr.String:
			number, ok = namedPort(pod, sp.TargetPort.StrVal, protocol)
		case number == 0:
			number = sp.Port
		}
		if ok {
			ports = append(ports, discoveryv1.EndpointPort{Name: &sp.Name, Protocol: &protocol, Port: &number, AppProtocol: sp.AppProtocol})
		}
	}
	return ports
}

func namedPort(pod *corev1.Pod, name string, protocol corev1.Protocol) (int32, bool) {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP) {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

func (p *Plane) endpoint(svc *corev1.Service, pod *corev1.Pod, addr string) discoveryv1.Endpoint {
	serving, terminating := isReady(pod), pod.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  []string{addr},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		e.NodeName = &pod.Spec.NodeName
	}
	if node := kube.Find[corev1.Node](p.watch.Nodes, pod.Spec.NodeName); node != nil && node.Labels[corev1.LabelTopologyZone] != "" {
		zone := node.Labels[corev1.LabelTopologyZone]
		e.Zone = &zone
	}
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == svc.Name {
		e.Hostname = &pod.Spec.Hostname
	}
	if d := svc.Spec.TrafficDistribution; d != nil && ready && e.Zone != nil { // KEP-2433, KEP-3015: every endpoint serves its own place
		e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: *e.Zone}}}
		if *d == corev1.ServiceTrafficDistributionPreferSameNode && e.NodeName != nil {
			e.Hints.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
		}
	}
	return e
}

func newSlice(svc *corev1.Service, g group, w *wanted) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: svc.Namespace, GenerateName: svc.Name + "-", Labels: labelsOf(svc),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, corev1.SchemeGroupVersion.WithKind("Service"))},
		},
		AddressType: g.family, Ports: w.ports, Endpoints: []discoveryv1.Endpoint{},
	}
}

// labelsOf are a slice's labels: the Service's own, whose it is, who writes it.
func labelsOf(svc *corev1.Service) map[string]string {
	l := labels.Merge(svc.Labels, labels.Set{discoveryv1.LabelServiceName: svc.Name, discoveryv1.LabelManagedBy: manager})
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		l[corev1.IsHeadlessService] = ""
	}
	return l
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
