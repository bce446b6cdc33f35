package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"kube-router/internal/model"
)

// ConvertPolicy takes over a NetworkPolicy with its defaults applied. It fails closed: a peer or port
// that can't be understood, because it is wrong or because a later API gave it a field that we don't
// know, allows nothing; it never widens a rule to "every peer" or "every port".
func ConvertPolicy(o *networkingv1.NetworkPolicy) *model.Policy {
	p := &model.Policy{Name: model.Name{Namespace: o.Namespace, Name: o.Name}, UID: string(o.UID)}
	r := &remarks{object: p.Ref()}
	if ours(o.Annotations) {
		parseAnnotations(p, r, policyAnnotations(), o.Annotations)
	}
	p.Pods = selector(r, "spec.podSelector", &o.Spec.PodSelector)
	ingress, egress := directions(r, &o.Spec)
	room := mostParts
	if ingress {
		p.Ingress = &model.Rules{}
		for i, in := range o.Spec.Ingress {
			p.Ingress.Rules = append(p.Ingress.Rules, rule(r, &room, fmt.Sprintf("spec.ingress[%d]", i), "from", in.From, in.Ports))
		}
	}
	if egress {
		p.Egress = &model.Rules{}
		for i, out := range o.Spec.Egress {
			p.Egress.Rules = append(p.Egress.Rules, rule(r, &room, fmt.Sprintf("spec.egress[%d]", i), "to", out.To, out.Ports))
		}
	}
	p.Remarks = r.list
	return p
}

// directions tells which directions a policy is about. Without policyTypes it is about ingress always,
// and about egress when it has an egress rule.
func directions(r *remarks, s *networkingv1.NetworkPolicySpec) (ingress, egress bool) {
	known := 0
	for i, t := range s.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeIngress:
			ingress = true
		case networkingv1.PolicyTypeEgress:
			egress = true
		default:
			r.add(fmt.Sprintf("spec.policyTypes[%d]", i), "unknown type %q ignored", string(t))
			continue
		}
		known++
	}
	if known == 0 {
		return true, len(s.Egress) > 0
	}
	return ingress, egress
}

// mostParts bounds what one policy may ask for: its blocks and their exceptions, its ports, and each selector with each
// port of its rule. Beyond, thinking about one tenant's policy would keep the others waiting.
const mostParts = 10_000

// parts is how many parts a rule has.
func parts(from []networkingv1.NetworkPolicyPeer, ports int) int {
	n := ports
	for _, p := range from {
		if p.IPBlock != nil {
			n += 1 + len(p.IPBlock.Except)
		} else {
			n += max(ports, 1)
		}
	}
	return n
}

// rule takes over one rule, if there is room for its parts; peers is the name of its field of peers. Absent and empty lists mean
// "every" alike; a list whose elements all fell out means none.
func rule(r *remarks, room *int, field, peers string, from []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) model.Rule {
	if *room -= parts(from, len(ports)); *room < 0 {
		r.add(field, "allows nothing: the policy has more than %d parts (blocks, exceptions, ports, selectors with each of their ports)", mostParts)
		return model.Rule{}
	}
	out := model.Rule{AnyPeer: len(from) == 0, AnyPort: len(ports) == 0}
	for i := range from {
		at := fmt.Sprintf("%s.%s[%d]", field, peers, i)
		if p, ok := peer(r, at, &from[i]); ok {
			out.Peers = append(out.Peers, p)
		}
	}
	for i := range ports {
		p, err := policyPort(&ports[i])
		if err != nil {
			r.add(fmt.Sprintf("%s.ports[%d]", field, i), "allows nothing: %s", err)
			continue
		}
		out.Ports = append(out.Ports, p)
	}
	return out
}

func peer(r *remarks, field string, o *networkingv1.NetworkPolicyPeer) (model.PolicyPeer, bool) {
	var p model.PolicyPeer
	switch {
	case o.IPBlock != nil && (o.PodSelector != nil || o.NamespaceSelector != nil):
		r.add(field, "allows nothing: ipBlock and a selector exclude each other")
		return p, false
	case o.IPBlock != nil:
		return block(r, field+".ipBlock", o.IPBlock)
	case o.PodSelector == nil && o.NamespaceSelector == nil:
		r.add(field, "allows nothing: neither ipBlock nor a selector that is known here")
		return p, false
	}
	if o.PodSelector != nil {
		s := selector(r, field+".podSelector", o.PodSelector)
		p.Pods = &s
	}
	if o.NamespaceSelector != nil {
		s := selector(r, field+".namespaceSelector", o.NamespaceSelector)
		p.Namespaces = &s
	}
	return p, true
}

// block takes over an ipBlock. An exception that can't be read makes the whole block allow nothing:
// nobody knows what it was to keep out.
func block(r *remarks, field string, o *networkingv1.IPBlock) (model.PolicyPeer, bool) {
	cidr, err := parsePrefix(o.CIDR)
	if err != nil {
		r.add(field+".cidr", "%s; this peer allows nothing", err)
		return model.PolicyPeer{}, false
	}
	p, given := model.PolicyPeer{Block: cidr}, map[netip.Prefix]bool{}
	for i, s := range o.Except {
		at := fmt.Sprintf("%s.except[%d]", field, i)
		e, err := parsePrefix(s)
		if err == nil && e.Overlaps(cidr) && e.Bits() <= cidr.Bits() {
			r.add(at, "%s leaves nothing of %s", e, cidr)
			e = cidr
		}
		switch {
		case err != nil:
			r.add(at, "%s; this peer allows nothing", err)
			return model.PolicyPeer{}, false
		case !e.Overlaps(cidr):
			r.add(at, "%s ignored: outside of %s", e, cidr)
		case given[e]:
			r.add(at, "%s ignored: already given", e)
		default:
			p.Except, given[e] = append(p.Except, e), true
		}
	}
	return p, true
}

// policyPort takes over one element of ports. No protocol is TCP; no port is every port of the protocol.
func policyPort(o *networkingv1.NetworkPolicyPort) (model.PolicyPort, error) {
	var p model.PolicyPort
	var proto corev1.Protocol
	if o.Protocol != nil {
		proto = *o.Protocol
	}
	var err error
	if p.Protocol, err = parseProtocol(proto); err != nil {
		return p, err
	}
	if o.Port == nil {
		if o.EndPort != nil {
			return p, fmt.Errorf("endPort without port")
		}
		return p, nil
	}
	if o.Port.Type == intstr.String {
		return namedPort(p, o)
	}
	if p.Port, err = parsePort(o.Port.IntVal); err != nil || o.EndPort == nil {
		return p, err
	}
	if p.EndPort, err = parsePort(*o.EndPort); err != nil {
		return p, fmt.Errorf("endPort: %w", err)
	}
	if p.EndPort < p.Port {
		return p, fmt.Errorf("endPort %d is below port %d", p.EndPort, p.Port)
	}
	return p, nil
}

func namedPort(p model.PolicyPort, o *networkingv1.NetworkPolicyPort) (model.PolicyPort, error) {
	if o.EndPort != nil {
		return p, fmt.Errorf("endPort with a named port")
	}
	if why := validation.IsValidPortName(o.Port.StrVal); len(why) > 0 {
		return p, fmt.Errorf("%q is no port name: %s", o.Port.StrVal, strings.Join(why, ", "))
	}
	p.PortName = o.Port.StrVal
	return p, nil
}

// selector brings a LabelSelector into canonical form; one that the API would refuse selects nothing.
func selector(r *remarks, field string, o *metav1.LabelSelector) model.Selector {
	if _, err := metav1.LabelSelectorAsSelector(o); err != nil {
		r.add(field, "selects nothing: %s", err)
		return model.Selector{Invalid: true}
	}
	var s model.Selector
	for k, v := range o.MatchLabels {
		s.Requirements = append(s.Requirements, model.Requirement{Key: k, Op: model.In, Values: []string{v}})
	}
	for _, e := range o.MatchExpressions {
		q := model.Requirement{Key: e.Key, Op: operator(e.Operator)}
		if len(e.Values) > 0 {
			q.Values = slices.Compact(slices.Sorted(slices.Values(e.Values)))
		}
		s.Requirements = append(s.Requirements, q)
	}
	slices.SortFunc(s.Requirements, compareRequirements)
	s.Requirements = slices.CompactFunc(s.Requirements, func(a, b model.Requirement) bool { return compareRequirements(a, b) == 0 })
	return s
}

// operator maps the API's operator; LabelSelectorAsSelector has refused any other.
func operator(o metav1.LabelSelectorOperator) model.Operator {
	switch o {
	case metav1.LabelSelectorOpNotIn:
		return model.NotIn
	case metav1.LabelSelectorOpExists:
		return model.Exists
	case metav1.LabelSelectorOpDoesNotExist:
		return model.DoesNotExist
	}
	return model.In
}

func compareRequirements(a, b model.Requirement) int {
	if c := strings.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	if a.Op != b.Op {
		return int(a.Op) - int(b.Op)
	}
	return slices.Compare(a.Values, b.Values)
}
