package clusterapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group, Resource the name in URLs.
const (
	Group    = "policy.networking.k8s.io"
	Resource = "clusternetworkpolicies"
	Kind     = "ClusterNetworkPolicy"
)

// Versions are those that are read, the newest first.
func Versions() []schema.GroupVersion {
	return []schema.GroupVersion{{Group: Group, Version: "v1beta1"}, {Group: Group, Version: "v1alpha2"}}
}

// ClusterNetworkPolicy is the object.
type ClusterNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              Spec   `json:"spec"`
	Status            Status `json:"status,omitzero"`
}

// Status is what implementations say of a policy.
type Status struct {
	Conditions []metav1.Condition `json:"conditions"`
}

// Spec is what a policy says. Rules of one policy judge in order.
type Spec struct {
	Tier     string  `json:"tier"`     // Admin or Baseline
	Priority int32   `json:"priority"` // 0 to 1000, lower ones first
	Subject  Subject `json:"subject"`
	Ingress  []Rule  `json:"ingress,omitempty"`
	Egress   []Rule  `json:"egress,omitempty"`
}

// Subject is whom a policy is about: exactly one field is set.
type Subject struct {
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	Pods       *NamespacedPod        `json:"pods,omitempty"`
}

// NamespacedPod selects pods of namespaces.
type NamespacedPod struct {
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	PodSelector       metav1.LabelSelector `json:"podSelector"`
}

// Rule is a rule of either direction: one of ingress has From, one of egress To.
type Rule struct {
	Name      string     `json:"name,omitempty"`
	Action    string     `json:"action"` // Accept, Deny or Pass
	From      []Peer     `json:"from,omitempty"`
	To        []Peer     `json:"to,omitempty"`
	Protocols []Protocol `json:"protocols,omitempty"` // absent: all
	// Unknown are the fields of the rule, at any depth, that these types don't have.
	Unknown []string `json:"-"`
}

// Peer is one end of traffic: exactly one field is set. Nodes, Networks and DomainNames are of egress alone.
type Peer struct {
	Namespaces  *metav1.LabelSelector `json:"namespaces,omitempty"`
	Pods        *NamespacedPod        `json:"pods,omitempty"`
	Nodes       *metav1.LabelSelector `json:"nodes,omitempty"`
	Networks    []string              `json:"networks,omitempty"`
	DomainNames []string              `json:"domainNames,omitempty"`
}

// Protocol is a protocol and what of it: exactly one field is set.
type Protocol struct {
	TCP                  *Transport `json:"tcp,omitempty"`
	UDP                  *Transport `json:"udp,omitempty"`
	SCTP                 *Transport `json:"sctp,omitempty"`
	DestinationNamedPort string     `json:"destinationNamedPort,omitempty"`
}

// Transport is ports of TCP, UDP or SCTP; without one all of them.
type Transport struct {
	DestinationPort *Port `json:"destinationPort,omitempty"`
}

// Port is a number or a range: exactly one field is set.
type Port struct {
	Number int32      `json:"number,omitempty"`
	Range  *PortRange `json:"range,omitempty"`
}

// PortRange is the ports from Start to End, both included.
type PortRange struct {
	Start int32 `json:"start"`
	End   int32 `json:"end"`
}
