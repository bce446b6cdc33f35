package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPAdvertisements is the kind of BGPAdvertisement.
var BGPAdvertisements = Kind{"BGPAdvertisement", "bgpadvertisements"}

// BGPAdvertisement says which addresses nodes advertise by BGP, to whom and with which attributes. Where one speaks of an address, flags and
// annotations don't count for that address.
type BGPAdvertisement = Object[BGPAdvertisementSpec, BGPStatus]

// BGPAdvertisementSpec says which addresses, by whom, to whom and how.
type BGPAdvertisementSpec struct {
	// Addresses are the sorts of address that are meant: LoadBalancer, ExternalIP and ClusterIP of Services, PodCIDR of nodes. Absent: LoadBalancer.
	Addresses []string `json:"addresses,omitempty"`
	// Pools are the AddressPools whose load balancer addresses are meant. Absent: every one.
	Pools []string `json:"pools,omitempty"`
	// ServiceSelector selects Services by their labels. Absent: all.
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`
	// NodeSelector selects the nodes that advertise. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Peers are the BGPPeers, by name, to which is advertised. With PeerSelector: those too. Absent, both: every router, also those of flags.
	Peers []string `json:"peers,omitempty"`
	// PeerSelector selects BGPPeers by their labels.
	PeerSelector *metav1.LabelSelector `json:"peerSelector,omitempty"`
	// Communities are added: "64512:7" (RFC 1997), "64512:1:2" (RFC 8092), or the name of a well-known one; at most 16 of a sort.
	Communities []string `json:"communities,omitempty"`
	// LocalPreference is what routers of the node's own AS are told, 1 to 4294967295; others never are. Absent: nothing.
	LocalPreference *int64 `json:"localPreference,omitempty"`
	// MED is the metric that is told (RFC 4271, 4.3), 0 to 4294967295. Absent: that of the node's annotation.
	MED *int64 `json:"med,omitempty"`
	// AggregationLength4 is how long the prefixes are that stand for IPv4 addresses of Services, 8 to 32. An aggregate is advertised where it lies in a
	// range of such addresses whole, and as long as the node serves an address in it. Absent: 32.
	AggregationLength4 *int32 `json:"aggregationLength4,omitempty"`
	// AggregationLength6 is the same for IPv6, 16 to 128. Absent: 128.
	AggregationLength6 *int32 `json:"aggregationLength6,omitempty"`
}
