package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressPools is the kind of AddressPool.
var AddressPools = Kind{"AddressPool", "addresspools"}

// AddressPool is addresses to give: to Services of type LoadBalancer, and to what leaves the cluster.
type AddressPool = Object[AddressPoolSpec, AddressPoolStatus]

// AddressPoolSpec is what a user says of a pool.
type AddressPoolSpec struct {
	// Addresses are CIDRs ("192.0.2.0/24") or ranges ("192.0.2.10-192.0.2.20") of both families, 1 to 64 of them.
	Addresses []string `json:"addresses"`
	// Exclude are CIDRs, ranges or single addresses that are not given, at most 64.
	Exclude []string `json:"exclude,omitempty"`
	// Uses are what the addresses are for: LoadBalancer, Egress or both. Absent: LoadBalancer.
	Uses []string `json:"uses,omitempty"`
	// AutoAssign gives addresses to Services that ask for none in particular. Absent: true.
	AutoAssign *bool `json:"autoAssign,omitempty"`
	// AvoidEdges leaves out the first and last address of each CIDR, and every IPv4 address that ends in .0 or .255. Absent: true.
	AvoidEdges *bool `json:"avoidEdges,omitempty"`
	// Priority orders pools that a Service may have an address of: the lower number first. Absent: 100.
	Priority *int32 `json:"priority,omitempty"`
	// NamespaceSelector selects the namespaces whose Services may have an address. Absent: all.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// ServiceSelector selects the Services that may have an address, by their own labels. Absent: all.
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`
	// NodeSelector selects the nodes that may own an address: answer for it on a link, or let pods leave by it. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Disabled pools give nothing more. What was given stays.
	Disabled bool `json:"disabled,omitempty"`
}

// AddressPoolStatus is what the leader found.
type AddressPoolStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	IPv4               *Usage             `json:"ipv4,omitempty"`
	IPv6               *Usage             `json:"ipv6,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// Usage counts the addresses of one family. What would not fit an int64 is told as the largest one.
type Usage struct {
	Total     int64 `json:"total"`     // that may be given, whoever has them
	Assigned  int64 `json:"assigned"`  // that somebody has, once for an address that several share
	Available int64 `json:"available"` // that nobody has
}

// The conditions of an AddressPool.
const (
	PoolReady       = "Ready"       // it gives addresses
	PoolConflicting = "Conflicting" // an older pool has some of its addresses, which are not given from here
	PoolExhausted   = "Exhausted"   // nothing is left in a family that it has
	PoolOrphaned    = "Orphaned"    // somebody keeps an address that is no longer in the pool
)
