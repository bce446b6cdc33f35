package model

import "net/netip"

// Policy is a NetworkPolicy (networking.k8s.io/v1) with its defaults applied.
type Policy struct {
	Name    Name
	UID     string
	Pods    Selector // spec.podSelector, within the policy's namespace
	Ingress *Rules   // nil: the policy says nothing about ingress
	Egress  *Rules   // nil: the policy says nothing about egress
	Audit   bool     // rehearsed: judged, and not enforced
	Remarks []Remark
}

// Ref names the NetworkPolicy.
func (p *Policy) Ref() Ref { return Ref{KindPolicy, p.Name} }

// Rules is one direction of a policy; no rule allows nothing.
type Rules struct{ Rules []Rule }

// Rule allows traffic with any of Peers on any of Ports.
type Rule struct {
	Peers   []PolicyPeer
	AnyPeer bool // from/to was absent or empty: every peer
	Ports   []PolicyPort
	AnyPort bool // ports was absent or empty: every port of every protocol
}

// PolicyPeer is either a block of addresses or a selection of pods.
type PolicyPeer struct {
	Block      netip.Prefix // valid: an ipBlock
	Except     []netip.Prefix
	Namespaces *Selector // nil: the policy's own namespace
	Pods       *Selector // nil: all pods of the namespaces
}

// PolicyPort is one element of ports.
type PolicyPort struct {
	Protocol Protocol
	Port     Port   // 0 with no PortName: every port of the protocol
	EndPort  Port   // 0: Port alone; inclusive otherwise
	PortName string // a named port, resolved per target pod
}

// Operator is the operator of a label requirement.
type Operator uint8

// The operators of a LabelSelector (meta/v1).
const (
	In Operator = iota
	NotIn
	Exists
	DoesNotExist
)

// Requirement is one condition of a Selector.
type Requirement struct {
	Key    string
	Op     Operator
	Values []string // sorted
}

// Selector is a LabelSelector in canonical form: requirements sorted by key, operator and values, all of
// which must hold (matchLabels are In with one value). The zero Selector selects everything.
type Selector struct {
	Requirements []Requirement
	Invalid      bool // could not be parsed: selects nothing
}
