// Package netpol judges flows by the words of the APIs of NetworkPolicy and ClusterNetworkPolicy, and makes up worlds of pods and policies
// to judge. It is what the planner, the rows and the packets of the lab are compared with, so it shares
// nothing with them.
package netpol

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/api/clusterapi"
)

// Oracle judges flows by the words of the networking.k8s.io/v1 and policy.networking.k8s.io/v1beta1 APIs, one sentence after the other, on the
// API's own objects.
type Oracle struct {
	Pods       []*corev1.Pod
	Namespaces map[string]*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	Cluster    []*clusterapi.ClusterNetworkPolicy
	Nodes      []*corev1.Node
	Names      map[string][]netip.Addr // what resolvers told of domain names, in lower case
}

// AuditKey is the annotation, with its value, of policies of both kinds that are judged and not enforced.
const AuditKey, AuditValue = "kube-router.io/enforcement", "audit"

// Enforced is the same world without the policies that are audited.
func (o *Oracle) Enforced() *Oracle {
	e := *o
	e.Policies = slices.DeleteFunc(slices.Clone(o.Policies), func(p *networkingv1.NetworkPolicy) bool { return p.Annotations[AuditKey] == AuditValue })
	e.Cluster = slices.DeleteFunc(slices.Clone(o.Cluster), func(p *clusterapi.ClusterNetworkPolicy) bool { return p.Annotations[AuditKey] == AuditValue })
	return &e
}

// Flow is one end talking to another.
type Flow struct {
	From, To netip.Addr
	Protocol corev1.Protocol
	Port     int32
}

// PodAt is the pod that has an address and counts as one: not on the host's network, not finished.
func (o *Oracle) PodAt(a netip.Addr) *corev1.Pod {
	for _, p := range o.Pods {
		if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, ip := range p.Status.PodIPs {
			if netip.MustParseAddr(ip.IP) == a {
				return p
			}
		}
	}
	return nil
}

// Allowed: the source's egress and the destination's ingress must both permit the connection. A pod can't
// block access to itself.
func (o *Oracle) Allowed(f Flow) bool {
	from, to := o.PodAt(f.From), o.PodAt(f.To)
	if from != nil && from == to {
		return true
	}
	return (from == nil || o.end(from, networkingv1.PolicyTypeEgress, f, f.To)) &&
		(to == nil || o.end(to, networkingv1.PolicyTypeIngress, f, f.From))
}

// End tells what one end of a flow says, the sender's egress or the receiver's ingress.
func (o *Oracle) End(f Flow, sender bool) bool {
	if sender {
		from := o.PodAt(f.From)
		return from == nil || o.end(from, networkingv1.PolicyTypeEgress, f, f.To)
	}
	to := o.PodAt(f.To)
	return to == nil || o.end(to, networkingv1.PolicyTypeIngress, f, f.From)
}

// end: tiers are evaluated in the order Admin, NetworkPolicy, Baseline. Accept and Deny are final. NetworkPolicy makes a final decision
// for the pods that it selects. What no tier decides is allowed.
func (o *Oracle) end(pod *corev1.Pod, direction networkingv1.PolicyType, f Flow, peer netip.Addr) bool {
	ingress := direction == networkingv1.PolicyTypeIngress
	if d := o.tier("Admin", pod, ingress, f, peer); d == accept || d == deny {
		return d == accept
	}
	if allowed, isolated := o.permits(pod, direction, f, peer); isolated {
		return allowed
	}
	return o.tier("Baseline", pod, ingress, f, peer) != deny
}

// permits: traffic is allowed if no policy selects the pod for the direction, or if at least one rule of
// the policies that do matches it.
func (o *Oracle) permits(pod *corev1.Pod, direction networkingv1.PolicyType, f Flow, peer netip.Addr) (allowed, isolated bool) {
	for _, p := range o.Policies {
		if p.Namespace != pod.Namespace || !matches(&p.Spec.PodSelector, pod.Labels) || !about(p, direction) {
			continue
		}
		isolated = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, r := range p.Spec.Ingress {
				if o.peers(p, r.From, peer) && o.ports(r.Ports, f) {
					return true, true
				}
			}
			continue
		}
		for _, r := range p.Spec.Egress {
			if o.peers(p, r.To, peer) && o.ports(r.Ports, f) {
				return true, true
			}
		}
	}
	return !isolated, isolated
}

// about: policyTypes if given; else Ingress always, and Egress when there is an egress rule.
func about(p *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) == 0 {
		return direction == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
	}
	for _, t := range p.Spec.PolicyTypes {
		if t == direction {
			return true
		}
	}
	return false
}

// peers: an empty or missing list matches all; else at least one item must match.
func (o *Oracle) peers(p *networkingv1.NetworkPolicy, list []networkingv1.NetworkPolicyPeer, a netip.Addr) bool {
	for _, peer := range list {
		if o.peer(p, peer, a) {
			return true
		}
	}
	return len(list) == 0
}

func (o *Oracle) peer(p *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer, a netip.Addr) bool {
	if b := peer.IPBlock; b != nil {
		in := netip.MustParsePrefix(b.CIDR).Contains(a)
		for _, e := range b.Except {
			in = in && !netip.MustParsePrefix(e).Contains(a)
		}
		return in
	}
	pod := o.PodAt(a)
	if pod == nil {
		return false
	}
	if peer.NamespaceSelector == nil {
		if pod.Namespace != p.Namespace {
			return false
		}
	} else if !matches(peer.NamespaceSelector, o.Namespaces[pod.Namespace].Labels) {
		return false
	}
	return peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)
}

// ports: an empty or missing list matches all; else protocol (TCP by default) and port, where it is given:
// by number, by range, or by the name that the destination pod gives it.
func (o *Oracle) ports(list []networkingv1.NetworkPolicyPort, f Flow) bool {
	for _, p := range list {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if protocol == f.Protocol && (p.Port == nil || o.port(p, f)) {
			return true
		}
	}
	return len(list) == 0
}

func (o *Oracle) port(p networkingv1.NetworkPolicyPort, f Flow) bool {
	if p.Port.Type == intstr.Int {
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return p.Port.IntVal <= f.Port && f.Port <= last
	}
	pod := o.PodAt(f.To)
	if pod == nil {
		return false
	}
	for _, c := range pod.Spec.Containers {
		for _, named := range c.Ports {
			if named.Name == p.Port.StrVal && named.Protocol == f.Protocol {
				return named.ContainerPort == f.Port
			}
		}
	}
	return false
}

func matches(s *metav1.LabelSelector, l map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(l))
}
