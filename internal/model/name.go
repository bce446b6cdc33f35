package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Name identifies a namespaced Kubernetes object. Cluster-scoped objects leave Namespace empty.
type Name struct{ Namespace, Name string }

// String prints namespace/name, or the name alone for a cluster-scoped object.
// Neither part may contain a slash (RFC 1123 names), so two names never print alike.
func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

// Compare orders names by namespace, then name.
func (n Name) Compare(o Name) int {
	return cmp.Or(strings.Compare(n.Namespace, o.Namespace), strings.Compare(n.Name, o.Name))
}

// Kind is the kind of a model object, spelled as users know it.
type Kind string

// The kinds of object that a Model holds.
const (
	KindService   Kind = "Service"
	KindSlice     Kind = "EndpointSlice"
	KindPod       Kind = "Pod"
	KindNamespace Kind = "Namespace"
	KindPolicy    Kind = "NetworkPolicy"
	KindNode      Kind = "Node"
	KindLink      Kind = "Link"
	KindPath      Kind = "Path"
	KindPool      Kind = "AddressPool"
	KindL2        Kind = "L2Advertisement"
	KindBGPPeer   Kind = "BGPPeer"
	KindBGPAd     Kind = "BGPAdvertisement"
	KindKeyring   Kind = "Secret"
	KindSilence   Kind = "Silence"
	KindOverflow  Kind = "Peer"
	KindSettings  Kind = "Settings"
	KindEgress    Kind = "EgressGateway"

	KindAttachment Kind = "Attachment"
	KindForeign    Kind = "ForwardChain"

	KindClusterPolicy Kind = "ClusterNetworkPolicy"
	KindLack          Kind = "Scheduler" // that the kernel lacks
	KindIdentity      Kind = "Identity"
	KindAnswer        Kind = "Answer"
	KindUnwritten     Kind = "Unwritten"
	KindNodePolicy    Kind = "NodePolicy"
	KindDomain        Kind = "DomainName"
)

// Ref names one object of any kind.
type Ref struct {
	Kind Kind
	Name Name
}

// String prints "Service default/web", or the kind alone for the Settings, of which there is but one.
func (r Ref) String() string {
	if r.Name == (Name{}) {
		return string(r.Kind)
	}
	return string(r.Kind) + " " + r.Name.String()
}

// Compare orders references by kind, then name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(strings.Compare(string(r.Kind), string(o.Kind)), r.Name.Compare(o.Name))
}

// Remark is something that the user should know about an object: a field that was ignored and why.
// Remarks are output of the pure rooms in place of log lines.
type Remark struct {
	Object  Ref
	Field   string // the field's path as in YAML ("spec.externalIPs[0]") or the annotation's key
	Message string // what is wrong and what was done about it
}

// String prints "Service a/b: spec.externalIPs[0]: 10.0.0.300 ignored: not an address".
func (r Remark) String() string {
	if r.Field == "" {
		return fmt.Sprintf("%s: %s", r.Object, r.Message)
	}
	return fmt.Sprintf("%s: %s: %s", r.Object, r.Field, r.Message)
}

// Compare orders remarks by object, field, message.
func (r Remark) Compare(o Remark) int {
	return cmp.Or(r.Object.Compare(o.Object), strings.Compare(r.Field, o.Field), strings.Compare(r.Message, o.Message))
}

// Protocol is an IP protocol number as assigned by IANA.
type Protocol uint8

// The transport protocols of Services and NetworkPolicies.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String prints the protocol in lower case, as ipvsadm and nft do.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

// Port is a transport port, 1 to 65535. Zero means "none" or, in a policy, "any".
type Port uint16

// ASN is a BGP autonomous system number (RFC 6793).
type ASN uint32

// Family is an address family.
type Family uint8

// The two address families. Family is data: no code path exists twice for it.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String prints "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// FamilyOf tells the family of a valid address. IPv4-mapped IPv6 addresses must be unmapped before.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}
