package model

import (
	"cmp"
	"net/netip"
	"strings"
)

// ClusterPolicy is a ClusterNetworkPolicy (policy.networking.k8s.io/v1beta1 and v1alpha2). What could not be understood fails
// closed here already, as the API asks: such a rule accepts nothing, or denies everything.
type ClusterPolicy struct {
	Name       string
	UID        string
	Generation int64
	Tier       Tier
	Priority   int32 // 0 to 1000, lower ones judge first; of equal ones the name decides
	Subject    PodSelection
	Ingress    []ClusterRule // in order; none: nothing about ingress
	Egress     []ClusterRule
	Audit      bool // rehearsed: judged, and not enforced
	Remarks    []Remark
}

// Ref names the ClusterNetworkPolicy.
func (p *ClusterPolicy) Ref() Ref { return Ref{KindClusterPolicy, Name{Name: p.Name}} }

// Compare orders policies as they judge: by tier, priority and name.
func (p *ClusterPolicy) Compare(o *ClusterPolicy) int {
	return cmp.Or(cmp.Compare(p.Tier, o.Tier), cmp.Compare(p.Priority, o.Priority), strings.Compare(p.Name, o.Name))
}

// Tier is a tier of ClusterNetworkPolicies.
type Tier uint8

// The tiers: one judges before NetworkPolicies, the other where none of these isolates a pod.
const (
	AdminTier Tier = iota
	BaselineTier
)

// String prints the tier as the API does.
func (t Tier) String() string { return [...]string{"Admin", "Baseline"}[t] }

// Action is what a ClusterRule does.
type Action uint8

// The actions.
const (
	Accept Action = iota // final, for this end
	Deny                 // final, without a word to the sender
	Pass                 // on to the next tier
)

// String prints the action as the API does.
func (a Action) String() string { return [...]string{"Accept", "Deny", "Pass"}[a] }

// ClusterRule does something with traffic with any of Peers on any of Ports.
type ClusterRule struct {
	Name    string // may be empty, need not be unique
	Action  Action
	Peers   []ClusterPeer
	Ports   []PolicyPort // a named one without a protocol is of whatever protocol the container says
	AnyPort bool         // protocols was absent: all, ICMP too
}

// ClusterPeer is one of five selections, or everybody.
type ClusterPeer struct {
	Pods     *PodSelection
	Nodes    *Selector      // nodes by their labels, at the addresses of their status
	Networks []netip.Prefix // masked
	Names    []string       // domain names, as DomainMatches reads them; only in rules that accept
	All      bool           // everybody: a peer that is not understood, in a rule that fails closed
}

// PodSelection selects pods of the namespaces that a selector selects.
type PodSelection struct {
	Namespaces Selector
	Pods       *Selector // nil: all pods there
}
