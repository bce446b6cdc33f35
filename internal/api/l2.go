package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// L2Advertisements is the kind of L2Advertisement.
var L2Advertisements = Kind{"L2Advertisement", "l2advertisements"}

// L2Advertisement lets nodes answer for load balancer addresses on their links, by ARP and by neighbour discovery. It has no status: who answers
// is found anew by every node.
type L2Advertisement = Object[L2AdvertisementSpec, struct{}]

// L2AdvertisementSpec says which addresses, by whom and where.
type L2AdvertisementSpec struct {
	// Pools are the AddressPools whose addresses are meant. Absent: every load balancer address.
	Pools []string `json:"pools,omitempty"`
	// ServiceSelector selects Services by their labels. Absent: all.
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`
	// NodeSelector selects the nodes that may answer. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Interfaces are names of links or patterns ("eth*"). Absent: the links in whose subnet an address lies. Where they are given an address need
	// not lie in a subnet of the link, and every node that is selected must have one.
	Interfaces []string `json:"interfaces,omitempty"`
}
