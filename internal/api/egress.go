package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EgressGateways is the kind of EgressGateway.
var EgressGateways = Kind{"EgressGateway", "egressgateways"}

// EgressGateway lets pods leave the cluster from addresses of their own, through nodes that are chosen for it.
type EgressGateway = Object[EgressGatewaySpec, EgressGatewayStatus]

// EgressGatewaySpec is what a user says of a gateway.
type EgressGatewaySpec struct {
	// NamespaceSelector selects the namespaces whose pods leave by the gateway. An empty one selects all.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
	// PodSelector selects pods of these namespaces. Absent: all.
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// Addresses are single addresses, CIDRs or ranges ("203.0.113.8-203.0.113.11") of both families to leave from, at most 64 entries and
	// 256 addresses of a family.
	Addresses []string `json:"addresses,omitempty"`
	// Pool is the AddressPool, used for Egress alone, whose addresses to leave from; in place of Addresses.
	Pool string `json:"pool,omitempty"`
	// NodeSelector selects the nodes that may be the gateway. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// ExceptDestinations are CIDRs that are reached as without the gateway, at most 64. Pods, nodes and Services are so anyway.
	ExceptDestinations []string `json:"exceptDestinations,omitempty"`
}

// EgressGatewayStatus is what the leader found.
type EgressGatewayStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Addresses          []EgressAddress    `json:"addresses,omitempty"` // sorted, at most 512
	Pods               int64              `json:"pods"`                // that leave by the gateway
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// EgressAddress is an address with the node from which packets leave with it.
type EgressAddress struct {
	Address string `json:"address"`
	Node    string `json:"node,omitempty"` // empty: none can be the gateway, so nothing leaves
}

// The conditions of an EgressGateway.
const (
	EgressReady = "Ready" // every address has a node
)
