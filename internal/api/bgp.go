package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPPeers is the kind of BGPPeer.
var BGPPeers = Kind{"BGPPeer", "bgppeers"}

// BGPPeer is a router outside of the cluster with which nodes have a BGP session.
type BGPPeer = Object[BGPPeerSpec, BGPStatus]

// BGPPeerSpec is what a user says of a router.
type BGPPeerSpec struct {
	// NodeSelector selects the nodes that have a session with the router. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Address is the router's address.
	Address string `json:"address"`
	// Port is where the router listens, 1 to 65535. Absent: 179.
	Port *int32 `json:"port,omitempty"`
	// ASN is the router's AS number.
	ASN int64 `json:"asn"`
	// LocalASN is the AS number that the node gives as its own in this session. Absent: the node's.
	LocalASN *int64 `json:"localASN,omitempty"`
	// LocalAddress is the node's end of the session. Absent: the node's address of the family.
	LocalAddress string `json:"localAddress,omitempty"`
	// HoldTimeSeconds is the hold time that the node offers, 3 to 65535 (RFC 4271). Absent: --bgp-holdtime.
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`
	// KeepaliveSeconds is the time between two keepalives, 1 to 21845. Absent: a third of the hold time.
	KeepaliveSeconds *int32 `json:"keepaliveSeconds,omitempty"`
	// Authentication protects the session. Absent: nothing does.
	Authentication *BGPAuthentication `json:"authentication,omitempty"`
	// BFD finds out within milliseconds that the router is gone (RFC 5880). Absent: no BFD.
	BFD *BGPBFD `json:"bfd,omitempty"`
	// MultihopTTL is the TTL of packets to a router that is several hops away, 2 to 255. Not with TTLSecurityHops.
	MultihopTTL *int32 `json:"multihopTTL,omitempty"`
	// TTLSecurityHops is how many hops the router is away at most, 1 to 254; what comes from further is none of its packets (RFC 5082).
	TTLSecurityHops *int32 `json:"ttlSecurityHops,omitempty"`
	// Families are those of the routes that are exchanged: IPv4, IPv6. Absent: those of the cluster.
	Families []string `json:"families,omitempty"`
	// MaxPrefixes is how many prefixes the router may teach; 0: any number. Absent: --peer-router-prefix-limit.
	MaxPrefixes *int64 `json:"maxPrefixes,omitempty"`
	// GracefulRestartSeconds is for how long the router keeps routes while the node's daemon restarts (RFC 4724), up to 4095; 0: it doesn't.
	// Absent: --bgp-graceful-restart.
	GracefulRestartSeconds *int32 `json:"gracefulRestartSeconds,omitempty"`
	// GracefulShutdown is when the router is asked to use other ways than those through the node, while they still work (RFC 8326): Drained, while the
	// node is cordoned, excluded from balancers or about to be removed; Always; Never. Absent: Drained.
	GracefulShutdown string `json:"gracefulShutdown,omitempty"`
	// Import is what is taken of what the router teaches: rules in order, of which the first that matches decides. What none matches is accepted. What
	// is refused of every router is refused before.
	Import []BGPRule `json:"import,omitempty"`
	// Export is what the router is taught of what is advertised to it, in the same way.
	Export []BGPRule `json:"export,omitempty"`
}

// BGPRule is a rule of a filter. It matches what meets all of its conditions, and everything where it has none.
type BGPRule struct {
	// Action is Accept or Reject.
	Action string `json:"action"`
	// Prefixes are those that are meant, at most 256. Absent: any.
	Prefixes []BGPPrefix `json:"prefixes,omitempty"`
	// ASPath is a condition about the AS numbers on the way. Not in export: what nodes advertise begins with them.
	ASPath *BGPASPath `json:"asPath,omitempty"`
	// Community is one that the route has: "64512:7", "64512:1:2", or the name of a well-known one.
	Community string `json:"community,omitempty"`
}

// BGPPrefix is prefixes in a range. Without GE and LE it is that range alone.
type BGPPrefix struct {
	// Prefix is the range, as a CIDR.
	Prefix string `json:"prefix"`
	// GE is the least length of a prefix. Absent: that of the range.
	GE *int32 `json:"ge,omitempty"`
	// LE is the greatest length. Absent: with GE the longest that there is, without it the length of the range.
	LE *int32 `json:"le,omitempty"`
}

// BGPASPath is a condition about the AS numbers of a route; exactly one of its fields is given.
type BGPASPath struct {
	// Contains is an AS number anywhere on the way.
	Contains *int64 `json:"contains,omitempty"`
	// Originates is the AS number at which the route begins.
	Originates *int64 `json:"originates,omitempty"`
	// Neighbor is the AS number of who taught the route.
	Neighbor *int64 `json:"neighbor,omitempty"`
}

// BGPAuthentication is how packets of a session are signed.
type BGPAuthentication struct {
	// Type is MD5 (RFC 2385).
	Type string `json:"type"`
	// SecretKey is the key of the password in Secret kube-router-bgp, which lies in the daemon's namespace.
	SecretKey string `json:"secretKey"`
}

// BGPBFD are parameters of BFD (RFC 5880).
type BGPBFD struct {
	// Multiplier is how many packets have to be missing, 1 to 255. Absent: 3.
	Multiplier *int32 `json:"multiplier,omitempty"`
	// MinRxMilliseconds is the least time between two packets that the node takes. Absent: 1000.
	MinRxMilliseconds *int32 `json:"minRxMilliseconds,omitempty"`
	// MinTxMilliseconds is the least time between two packets that the node sends. Absent: 1000.
	MinTxMilliseconds *int32 `json:"minTxMilliseconds,omitempty"`
	// Port is the router's UDP port of BFD. Absent: 3784.
	Port *int32 `json:"port,omitempty"`
}

// BGPStatus is what the nodes found of an object about BGP.
type BGPStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Nodes              int64              `json:"nodes"` // that it selects
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// BGPAccepted is the condition of objects about BGP: they count as they are written.
const BGPAccepted = "Accepted"
