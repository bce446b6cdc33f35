package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodePolicies is the kind of NodePolicy.
var NodePolicies = Kind{"NodePolicy", "nodepolicies"}

// NodePolicy says what may come to nodes and leave them, in the words of ClusterNetworkPolicy, which can't have nodes as subjects.
type NodePolicy = Object[NodePolicySpec, struct{}]

// NodePolicySpec is what a user says of nodes.
type NodePolicySpec struct {
	// NodeSelector selects the nodes that the policy is about. Absent: all.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Tier is Admin or Baseline: the rules of the one judge before those of the other. Absent: Admin.
	Tier string `json:"tier,omitempty"`
	// Priority orders policies of a tier, 0 to 1000: the lower number first, of equal ones the name.
	Priority int32 `json:"priority,omitempty"`
	// FailSafes is Keep or Close: whether what a node can't be reached or live without passes although the policy denies it. Absent: Keep.
	FailSafes string `json:"failSafes,omitempty"`
	// Ingress are rules about what comes to the node, in order, at most 100.
	Ingress []NodeRule `json:"ingress,omitempty"`
	// Egress are rules about what leaves the node.
	Egress []NodeRule `json:"egress,omitempty"`
}

// The values of FailSafes.
const (
	FailSafesKeep  = "Keep"
	FailSafesClose = "Close"
)

// NodeRule does something with traffic with any of its peers on any of its protocols.
type NodeRule struct {
	// Name tells the rule from others. It need not be unique.
	Name string `json:"name,omitempty"`
	// Action is Accept, Deny or Pass (on to the next tier).
	Action string `json:"action"`
	// From are the other ends, in a rule of ingress.
	From []NodePeer `json:"from,omitempty"`
	// To are the other ends, in a rule of egress.
	To []NodePeer `json:"to,omitempty"`
	// Protocols are what of them. Absent: everything.
	Protocols []NodeProtocol `json:"protocols,omitempty"`
}

// NodePeer is another end: exactly one field is set.
type NodePeer struct {
	// Namespaces selects namespaces, all of whose pods are meant.
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	// Pods selects pods of namespaces.
	Pods *NodePods `json:"pods,omitempty"`
	// Nodes selects nodes, at the addresses of their status.
	Nodes *metav1.LabelSelector `json:"nodes,omitempty"`
	// Networks are CIDRs.
	Networks []string `json:"networks,omitempty"`
}

// NodePods selects pods of the namespaces that a selector selects.
type NodePods struct {
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	PodSelector       metav1.LabelSelector `json:"podSelector"`
}

// NodeProtocol is a protocol with its ports: exactly one field is set.
type NodeProtocol struct {
	TCP  *NodeTransport `json:"tcp,omitempty"`
	UDP  *NodeTransport `json:"udp,omitempty"`
	SCTP *NodeTransport `json:"sctp,omitempty"`
}

// NodeTransport is destination ports of TCP, UDP or SCTP; without one all of them.
type NodeTransport struct {
	DestinationPort *NodePort `json:"destinationPort,omitempty"`
}

// NodePort is a number or a range: exactly one field is set.
type NodePort struct {
	Number int32          `json:"number,omitempty"`
	Range  *NodePortRange `json:"range,omitempty"`
}

// NodePortRange is the ports from Start to End, both included.
type NodePortRange struct {
	Start int32 `json:"start"`
	End   int32 `json:"end"`
}
