package flow

import (
	"net/netip"
	"time"
)

// Owner is who had an address when it was seen. All fields empty: nobody of the cluster.
type Owner struct {
	Namespace, Pod string
	Labels         map[string]string // of the pod; shared, nobody changes it
	Kind, Workload string            // of a pod: what made it, such as Deployment and its name
	Node           string            // without a pod: the node whose address it is
	Here           bool              // it is this node, or one of its pods
}

// Service is what a client sent to, where that was a Service.
type Service struct {
	Namespace, Name, Port string // Port is the name of the port, which may be empty
}

// Policy names a policy that ended a flow, or without which it would not have ended.
type Policy struct {
	Kind, Namespace, Name string
}

// Gateway is by which a flow leaves the cluster, or should have.
type Gateway struct {
	Name string     // of the EgressGateway
	Addr netip.Addr // from which it leaves
}

// Reason is why a flow ended before it began.
type Reason uint8

// The reasons. Passed is none.
const (
	Passed         Reason = iota
	DefaultDeny           // policies isolate the pod, and none of their rules allows it
	DenyRule              // a rule of a ClusterNetworkPolicy denies it
	PolicyChanged         // policies ended it, and now they don't
	NoEndpoint            // the Service has no endpoint
	NoPort                // the address is one of Services, and no Service has the port
	NoLocal               // the Service's traffic policy wants an endpoint here, and none is
	SourceRange           // the client is outside of loadBalancerSourceRanges
	NoGateway             // no node is there for the pod's EgressGateway
	ClearText             // it should have been encrypted
	UnknownSource         // the source is in the pods' range, and no pod that is known
	UnknownAddress        // the destination is in the pods' range, and no pod that is known
	Forged                // a pod sent from an address that isn't its own
	NoRoute               // the kernel has no route there
	Unreachable           // the host or router that it goes to next does not answer, or a route says that nobody may
	Other                 // a rule of ours that logs and says nothing more
)

// word has what is printed for a reason and Hubble's number and name for it.
type word struct {
	text, hubble string
	number       int
}

// words are in the order of the reasons.
func words() []word {
	return []word{
		Passed: {}, DefaultDeny: {"default deny", "POLICY_DENIED", 133}, DenyRule: {"deny rule", "POLICY_DENY", 181},
		PolicyChanged: {"policies, which have changed since", "POLICY_DENIED", 133}, NoEndpoint: {"no endpoint", "SERVICE_BACKEND_NOT_FOUND", 158},
		NoPort: {"no Service at this port", "SERVICE_BACKEND_NOT_FOUND", 158}, NoLocal: {"no endpoint on this node", "SERVICE_BACKEND_NOT_FOUND", 158},
		SourceRange: {"outside of loadBalancerSourceRanges", "DENIED_BY_LB_SRC_RANGE_CHECK", 177}, NoGateway: {"no egress gateway", "NO_EGRESS_GATEWAY", 194},
		ClearText: {"clear text", "UNENCRYPTED_TRAFFIC", 195}, UnknownSource: {"from no known pod", "INVALID_SOURCE_IP", 132},
		UnknownAddress: {"to no known pod", "STALE_OR_UNROUTABLE_IP", 151}, Forged: {"forged source", "INVALID_SOURCE_IP", 132},
		NoRoute: {"no route", "FIB_LOOKUP_FAILED", 169}, Unreachable: {"host unreachable", "FIB_LOOKUP_FAILED", 169}, Other: {"a rule", "DROP_REASON_UNKNOWN", 0},
	}
}

// String is the reason in words.
func (r Reason) String() string { return words()[r].text }

// Silent tells whether the sender was not told: the flow was dropped, otherwise it was refused.
func (r Reason) Silent() bool {
	switch r {
	case DenyRule, NoLocal, SourceRange, NoGateway, ClearText, UnknownSource, Forged:
		return true
	}
	return false
}

// Direction is the direction of a flow as the node that saw it has it.
type Direction uint8

// The directions.
const (
	Through Direction = iota // neither end is here
	Ingress                  // to a pod of this node, or to the node
	Egress                   // from a pod of this node, or from the node
)

// Source is where events were lost.
type Source uint8

// The sources of losses.
const (
	NoLoss     Source = iota
	KernelLoss        // the reader was too slow for the kernel
	QueueLoss         // more than --flows-rate, or more drops than could be named
	RingLoss          // the ring was overwritten before it was asked for
)

// Count is what went one way.
type Count struct{ Packets, Bytes uint64 }

// Flow is one connection as a node saw it, one that was ended at its beginning, or a number of events that were lost.
type Flow struct {
	Time     time.Time // when its beginning was seen
	Ended    time.Time // zero: it goes on, or nobody saw its end
	ID       uint32    // of connection tracking; 0: none
	Protocol uint8     // IANA number
	// Src is the client. Dst is who answers, after translation; Front is what the client sent to, where that is another. Seen is the client
	// as Dst sees it, which differs from Src where its address was replaced.
	Src, Dst, Front, Seen netip.AddrPort
	ICMPType, ICMPCode    uint8

	Source, Dest *Owner // never nil
	Service      *Service
	Gateway      *Gateway
	Direction    Direction

	Reason   Reason
	Policies []Policy
	Tier     string // of a ClusterNetworkPolicy's rule
	Rule     string // "spec.ingress[0]"

	Out, In Count  // from the client, and back; zero until it has ended
	Times   uint64 // how often what ended was tried, within a minute
	Flags   uint8  // of TCP, of a packet that was ended

	Lost   uint64 // events that were lost; then nothing else counts but Time and Loss
	Loss   Source
	Number uint64 // its place in the ring
}
