package netpol

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Generator makes up the objects of a world: 9 pods a, b, c in namespaces x, y, z on two nodes, with two
// addresses each.
type Generator struct {
	*rand.Rand
	Audits  bool // some policies are audited
	Domains bool // some ClusterNetworkPolicies name domains
}

// Namespaces are the names of the world's namespaces.
func Namespaces() []string { return []string{"x", "y", "z"} }

// Pods are the names of the pods in each namespace.
func Pods() []string { return []string{"a", "b", "c"} }

// Protocols are those that policies know.
func Protocols() []corev1.Protocol {
	return []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
}

// Ports are tried; policies and the names of container ports speak of them.
func Ports() []int32 { return []int32{79, 80, 81, 8080} }

// Strangers are addresses that are no pod's.
func Strangers() []string { return []string{"192.0.2.7", "10.1.7.9", "2001:db8::7", "fd00::1:7:9"} }

func pick[T any](r Generator, list ...T) T { return list[r.IntN(len(list))] }

// Namespace makes a namespace with labels.
func (r Generator) Namespace(name string) *corev1.Namespace {
	l := map[string]string{"ns": name, "kubernetes.io/metadata.name": name}
	if r.IntN(2) == 0 {
		l["team"] = pick(r, "red", "blue", "")
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}}
}

// Pod makes pod j of namespace i.
func (r Generator) Pod(i, j int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: Namespaces()[i], Name: Pods()[j], UID: "u", Labels: map[string]string{"pod": Pods()[j]},
	}}
	if r.IntN(2) == 0 {
		p.Labels["tier"] = pick(r, "front", "back")
	}
	p.Spec.NodeName = pick(r, "n1", "n2")
	p.Spec.HostNetwork = r.IntN(30) == 0
	p.Status.Phase = corev1.PodRunning
	if r.IntN(30) == 0 {
		p.Status.Phase = pick(r, corev1.PodSucceeded, corev1.PodFailed)
	}
	p.Status.PodIPs = []corev1.PodIP{
		{IP: fmt.Sprintf("10.1.%d.%d", i, j+1)}, {IP: fmt.Sprintf("fd00::1:%d:%d", i, j+1)},
	}
	if r.IntN(20) == 0 {
		p.Status.PodIPs = p.Status.PodIPs[:1]
	}
	c := corev1.Container{Name: "c"}
	for _, proto := range Protocols() {
		for _, name := range []string{"web", "alt"} {
			if r.IntN(3) > 0 {
				c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, Protocol: proto, ContainerPort: pick(r, Ports()...)})
			}
		}
	}
	p.Spec.Containers = []corev1.Container{c}
	return p
}

func (r Generator) selector(key string, values []string) metav1.LabelSelector {
	var s metav1.LabelSelector
	if r.IntN(4) == 0 {
		return s
	}
	for range 1 + r.IntN(2) {
		k, v := key, pick(r, values...)
		if r.IntN(4) == 0 {
			k, v = "tier", "front"
		}
		if r.IntN(3) > 0 {
			s.MatchLabels = map[string]string{k: v}
			continue
		}
		e := metav1.LabelSelectorRequirement{Key: k, Operator: pick(r,
			metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			e.Values = []string{v, pick(r, values...)}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func (r Generator) peer() networkingv1.NetworkPolicyPeer {
	var p networkingv1.NetworkPolicyPeer
	pods, namespaces := r.selector("pod", Pods()), r.selector(pick(r, "ns", "team"), []string{"x", "y", "red", ""})
	switch r.IntN(5) {
	case 0:
		p.PodSelector = &pods
	case 1:
		p.NamespaceSelector = &namespaces
	case 2:
		p.PodSelector, p.NamespaceSelector = &pods, &namespaces
	case 3:
		p.IPBlock = pick(r,
			&networkingv1.IPBlock{CIDR: "0.0.0.0/0"}, &networkingv1.IPBlock{CIDR: "::/0"},
			&networkingv1.IPBlock{CIDR: "10.1.0.0/16", Except: []string{"10.1.1.0/24"}},
			&networkingv1.IPBlock{CIDR: "10.1.1.0/24"}, &networkingv1.IPBlock{CIDR: "10.1.0.2/32"},
			&networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.1.0.0/24", "10.1.2.0/31", "192.0.2.0/24"}},
			&networkingv1.IPBlock{CIDR: "fd00::/16", Except: []string{"fd00::1:1:0/112", "fd00::1:0:2/128"}},
			&networkingv1.IPBlock{CIDR: "10.1.2.2/31", Except: []string{"10.1.2.3/32", "10.1.2.2/32"}})
	default:
		p.IPBlock = &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.1.%d.%d/%d", r.IntN(8), r.IntN(8), 16+r.IntN(17))}
	}
	return p
}

func (r Generator) port() networkingv1.NetworkPolicyPort {
	var p networkingv1.NetworkPolicyPort
	if r.IntN(3) > 0 {
		proto := pick(r, Protocols()...)
		p.Protocol = &proto
	}
	switch r.IntN(4) {
	case 0:
	case 1:
		v := intstr.FromString(pick(r, "web", "alt", "nothing"))
		p.Port = &v
	default:
		v := intstr.FromInt32(pick(r, Ports()...))
		p.Port = &v
		if r.IntN(3) == 0 {
			end := v.IntVal + int32(r.IntN(3))
			p.EndPort = &end
		}
	}
	return p
}

func (r Generator) rule() (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	for range r.IntN(4) {
		peers = append(peers, r.peer())
	}
	for range r.IntN(4) {
		ports = append(ports, r.port())
	}
	return peers, ports
}

// audited are the annotations of a policy: a part of them is audited, and of some the annotation means nothing.
func (r Generator) audited() map[string]string {
	if r.Audits {
		switch r.IntN(8) {
		case 0, 1, 2:
			return map[string]string{AuditKey: AuditValue}
		case 3:
			return map[string]string{AuditKey: pick(r, "enforce", "Audit", "")}
		}
	}
	return nil
}

// Policy makes a policy of a name in some namespace.
func (r Generator) Policy(name string) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, Namespaces()...), Name: name, Annotations: r.audited()}}
	p.Spec.PodSelector = r.selector("pod", Pods())
	p.Spec.PolicyTypes = pick(r, nil, nil,
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress})
	for range r.IntN(3) {
		peers, ports := r.rule()
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
	}
	for range r.IntN(3) {
		peers, ports := r.rule()
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
	}
	return p
}
