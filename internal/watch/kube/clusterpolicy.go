package kube

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// registerClusterPolicies makes a scheme know the kind in both versions, as api.Raw: one object that doesn't fit harms no other.
func registerClusterPolicies(s *runtime.Scheme) error {
	for _, gv := range clusterapi.Versions() {
		s.AddKnownTypeWithName(gv.WithKind(clusterapi.Kind), &api.Raw{})
		s.AddKnownTypeWithName(gv.WithKind(clusterapi.Kind+"List"), &api.RawList{})
		metav1.AddToGroupVersion(s, gv)
	}
	return nil
}

func convertClusterPolicy(o any) (model.Object, bool) {
	raw, ok := o.(*api.Raw)
	if !ok {
		return nil, false
	}
	typed := clusterapi.ClusterNetworkPolicy{ObjectMeta: raw.ObjectMeta}
	err := json.Unmarshal(raw.Spec, &typed.Spec)
	if err != nil {
		typed.Spec.Subject = clusterapi.Subject{}
	}
	p := ConvertClusterPolicy(&typed)
	if err != nil {
		p.Remarks = append(p.Remarks, model.Remark{Object: p.Ref(), Field: "spec", Message: "can't be read: " + err.Error()})
	}
	return p, true
}

// ConvertClusterPolicy takes over a ClusterNetworkPolicy. A rule with anything in it that isn't understood fails closed as a whole,
// as the API says: one that accepts matches nothing, any other denies everything.
func ConvertClusterPolicy(o *clusterapi.ClusterNetworkPolicy) *model.ClusterPolicy {
	p := &model.ClusterPolicy{Name: o.Name, UID: string(o.UID), Generation: o.Generation, Priority: o.Spec.Priority}
	r := &remarks{object: p.Ref()}
	if ours(o.Annotations) {
		parseAnnotations(p, r, clusterPolicyAnnotations(), o.Annotations)
	}
	c := clusterRules{remarks: r}
	switch o.Spec.Tier {
	case model.AdminTier.String():
	case model.BaselineTier.String():
		p.Tier = model.BaselineTier
	default:
		c.unknown("spec.tier", "tier %q is not known: all rules fail closed, in tier Admin", o.Spec.Tier)
		c.lost = true
	}
	p.Subject = subject(r, &o.Spec.Subject)
	for i := range o.Spec.Ingress {
		in := &o.Spec.Ingress[i]
		p.Ingress = append(p.Ingress, c.rule(fmt.Sprintf("spec.ingress[%d]", i), "from", in))
	}
	for i := range o.Spec.Egress {
		out := &o.Spec.Egress[i]
		p.Egress = append(p.Egress, c.rule(fmt.Sprintf("spec.egress[%d]", i), "to", out))
	}
	p.Remarks = r.list
	return p
}

// subject takes over whom a policy is about. Nobody knows whom one means that isn't understood, so it is about nobody.
func subject(r *remarks, o *clusterapi.Subject) model.PodSelection {
	switch {
	case o.Namespaces != nil && o.Pods == nil:
		return model.PodSelection{Namespaces: selector(r, "spec.subject.namespaces", o.Namespaces)}
	case o.Pods != nil && o.Namespaces == nil:
		return namespacedPod(r, "spec.subject.pods", o.Pods)
	}
	r.add("spec.subject", "selects no pod: neither namespaces nor pods alone")
	return model.PodSelection{Namespaces: model.Selector{Invalid: true}}
}

func namespacedPod(r *remarks, field string, o *clusterapi.NamespacedPod) model.PodSelection {
	pods := selector(r, field+".podSelector", &o.PodSelector)
	return model.PodSelection{Namespaces: selector(r, field+".namespaceSelector", &o.NamespaceSelector), Pods: &pods}
}

// clusterRules takes over rules one after the other.
type clusterRules struct {
	*remarks
	host bool // about nodes: anybody can be a source
	lost bool // nothing of the policy can be relied upon
	bad  bool // something of the present rule isn't understood

	accepts bool // what the present rule does
}

func (c *clusterRules) unknown(field, format string, args ...any) {
	c.bad = true
	c.add(field, format, args...)
}

func (c *clusterRules) rule(field, peers string, in *clusterapi.Rule) model.ClusterRule {
	c.bad = c.lost
	list, other := in.From, in.To
	if peers == "to" {
		list, other = other, list
	}
	if len(other) > 0 {
		c.unknown(field, "from and to together")
	}
	out := model.ClusterRule{Name: in.Name, AnyPort: in.Protocols == nil}
	for _, what := range in.Unknown {
		c.unknown(field, "not understood: %s", what)
	}
	switch in.Action {
	case model.Accept.String():
	case model.Deny.String():
		out.Action = model.Deny
	case model.Pass.String():
		out.Action = model.Pass
	default:
		out.Action = model.Deny
		c.unknown(field+".action", "action %q is not known", in.Action)
	}
	c.accepts = out.Action == model.Accept
	if len(list) == 0 {
		c.unknown(field+"."+peers, "there is none")
	}
	for i := range list {
		out.Peers = append(out.Peers, c.peer(fmt.Sprintf("%s.%s[%d]", field, peers, i), peers == "to" || c.host, &list[i]))
	}
	for i := range in.Protocols {
		out.Ports = append(out.Ports, c.protocol(fmt.Sprintf("%s.protocols[%d]", field, i), &in.Protocols[i]))
	}
	if in.Protocols != nil && len(in.Protocols) == 0 {
		c.unknown(field+".protocols", "there is none")
	}
	switch {
	case !c.bad:
	case out.Action == model.Accept:
		c.add(field, "the rule accepts nothing, since not all of it is understood")
		out.Peers = nil
	default:
		c.add(field, "the rule denies everything, since not all of it is understood")
		out = denyAll(in.Name)
	}
	return out
}

func (c *clusterRules) peer(field string, any bool, o *clusterapi.Peer) (p model.ClusterPeer) {
	set := 0
	for _, is := range []bool{o.Namespaces != nil, o.Pods != nil, o.Nodes != nil, o.Networks != nil, o.DomainNames != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		c.unknown(field, "%d of the fields that are known here are set, not one", set)
	case o.Namespaces != nil:
		p.Pods = &model.PodSelection{Namespaces: c.selector(field+".namespaces", o.Namespaces)}
	case o.Pods != nil:
		pods := c.selector(field+".pods.podSelector", &o.Pods.PodSelector)
		p.Pods = &model.PodSelection{Namespaces: c.selector(field+".pods.namespaceSelector", &o.Pods.NamespaceSelector), Pods: &pods}
	case !any:
		c.unknown(field, "only pods can be sources")
	case o.Nodes != nil:
		nodes := c.selector(field+".nodes", o.Nodes)
		p.Nodes = &nodes
	case o.DomainNames != nil:
		p.Names = c.names(field+".domainNames", o.DomainNames)
	case len(o.Networks) == 0:
		c.unknown(field+".networks", "there is none")
	default:
		for i, text := range o.Networks {
			n, err := parsePrefix(text)
			if err != nil {
				c.unknown(fmt.Sprintf("%s.networks[%d]", field, i), "%s", err)
				continue
			}
			p.Networks = append(p.Networks, n)
		}
	}
	return p
}

// selector takes over a selector of peers; one that is wrong is not understood.
func (c *clusterRules) selector(field string, o *metav1.LabelSelector) model.Selector {
	s := selector(c.remarks, field, o)
	c.bad = c.bad || s.Invalid
	return s
}

// protocol takes over one element of protocols.
func (c *clusterRules) protocol(field string, o *clusterapi.Protocol) (p model.PolicyPort) {
	var of *clusterapi.Transport
	set := 0
	for _, t := range []struct {
		is       *clusterapi.Transport
		protocol model.Protocol
		name     string
	}{{o.TCP, model.TCP, "tcp"}, {o.UDP, model.UDP, "udp"}, {o.SCTP, model.SCTP, "sctp"}} {
		if t.is != nil {
			set++
			of, p.Protocol = t.is, t.protocol
			field += "." + t.name
		}
	}
	switch {
	case set == 1 && o.DestinationNamedPort == "":
		c.ports(field+".destinationPort", of.DestinationPort, &p)
	case set == 0 && o.DestinationNamedPort != "":
		if why := validation.IsValidPortName(o.DestinationNamedPort); len(why) > 0 {
			c.unknown(field+".destinationNamedPort", "%q is no port name: %s", o.DestinationNamedPort, why[0])
		}
		p.PortName = o.DestinationNamedPort
	default:
		c.unknown(field, "not one of tcp, udp, sctp and destinationNamedPort alone")
	}
	return p
}

// ports takes over a number or a range; without either it is every port.
func (c *clusterRules) ports(field string, o *clusterapi.Port, p *model.PolicyPort) {
	var err error
	switch {
	case o == nil:
	case o.Range != nil && o.Number != 0 || o.Range == nil && o.Number == 0:
		c.unknown(field, "neither a number nor a range alone")
	case o.Range == nil:
		if p.Port, err = parsePort(o.Number); err != nil {
			c.unknown(field+".number", "%s", err)
		}
	default:
		var err2 error
		p.Port, err = parsePort(o.Range.Start)
		p.EndPort, err2 = parsePort(o.Range.End)
		if err != nil || err2 != nil || p.EndPort < p.Port {
			c.unknown(field+".range", "%d to %d are no ports", o.Range.Start, o.Range.End)
		}
	}
}
