//go:build scale

package scale

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// cluster is how much there is.
type cluster struct{ services, pods int }

// endpoints are those of each Service.
const endpoints = 10

// podAddr is the address of a pod by its number; none is on the node that is measured.
func podAddr(i int) string {
	return netip.AddrFrom4([4]byte{10, byte(128 + i>>16), byte(i >> 8), byte(i)}).String()
}

func namespaceOf(i int) string { return fmt.Sprintf("team-%d", i%100) }

// fill puts the cluster's objects into the API.
func (n *node) fill(c cluster) {
	n.t.Helper()
	for i := range 100 {
		n.check(n.api.Store.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}))
	}
	for i := range c.services {
		n.check(n.api.Store.Put(service(i), slice(i, endpoints-i%50/49))) // a few have one less, as in a cluster whose Services differ
	}
	for i := range c.pods {
		n.check(n.api.Store.Put(pod(i)))
	}
}

func service(i int) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(i), Name: fmt.Sprintf("service-%d", i), Labels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}}
	s.Spec.ClusterIP = netip.AddrFrom4([4]byte{10, 96, byte(16 + i>>8), byte(i)}).String()
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	s.Spec.Selector = map[string]string{"app": fmt.Sprintf("app-%d", i)}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}}
	return s
}

// slice is the EndpointSlice of a Service, with some endpoints, which are pods.
func slice(i, count int) *discoveryv1.EndpointSlice {
	name, port, tcp, yes := "http", int32(8080), corev1.ProtocolTCP, true
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		Namespace: namespaceOf(i), Name: fmt.Sprintf("service-%d-abcde", i), Labels: map[string]string{
			discoveryv1.LabelServiceName: fmt.Sprintf("service-%d", i), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
		},
	}}
	s.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}}
	for e := range count {
		p := i*5 + e // two Services share each pod: half as many pods as endpoints
		on := nodeOf(p)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{podAddr(p)}, NodeName: &on,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: namespaceOf(i), Name: podName(p)},
		})
	}
	return s
}

func nodeOf(pod int) string { return fmt.Sprintf("far-%d", pod%500) }
func podName(i int) string  { return fmt.Sprintf("app-%d-6d4b75cb6d-%05x", i/5, i) }
func container() corev1.Container {
	return corev1.Container{
		Name: "app", Image: "registry.example.com/team/app:v1.2.3",
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Env:   []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "PORT", Value: "8080"}},
	}
}

// pod is a pod of a Deployment on another node.
func pod(i int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(i / 5), Name: podName(i), Labels: map[string]string{
		"app": fmt.Sprintf("app-%d", i/5), "pod-template-hash": "6d4b75cb6d", "app.kubernetes.io/part-of": fmt.Sprintf("product-%d", i/500),
	}}}
	p.Spec.NodeName, p.Spec.Containers = nodeOf(i), []corev1.Container{container()}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: podAddr(i), PodIPs: []corev1.PodIP{{IP: podAddr(i)}}}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady, corev1.ContainersReady, corev1.PodInitialized} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue})
	}
	return p
}
