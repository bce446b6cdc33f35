package model

import (
	"net/netip"
	"time"
)

// Pod is a Kubernetes Pod as far as the network is concerned.
type Pod struct {
	Name        Name
	UID         string
	Node        string
	Addrs       []netip.Addr // status.podIPs
	HostNetwork bool
	Finished    bool // phase Succeeded or Failed: the addresses may already belong to another pod
	Labels      map[string]string
	Ports       []PodPort     // named container ports
	Grace       time.Duration // spec.terminationGracePeriodSeconds
	AtSocket    *bool         // annotation kube-router.io/socket-lb; nil: the Namespace, and what the pod is, decide
	Packets     string        // what of the pod must see Services' packets: a mesh's sidecar, a virtual machine; empty: nothing
	Workload    Workload      // what made it; zero: nobody, or who can't be told
	Wish        *Wish         // what it asks for its interface; nil: nothing special
	Weight      uint16        // annotation pod.weight (ours): its share of a Service's connections; 0: not given
	Remarks     []Remark
}

// Workload is what made a pod: a Deployment, a DaemonSet, a Job.
type Workload struct{ Kind, Name string }

// PodPort is a named container port.
type PodPort struct {
	Name     string
	Protocol Protocol
	Port     Port
}

// Ref names the Pod.
func (p *Pod) Ref() Ref { return Ref{KindPod, p.Name} }

// Namespace is a Kubernetes Namespace.
type Namespace struct {
	Name      string
	Labels    map[string]string
	Unguarded bool  // its pods may send as somebody else
	AtSocket  *bool // annotation kube-router.io/socket-lb: of its pods that have none of their own; nil: what the pod is decides
	Remarks   []Remark
}

// Ref names the Namespace.
func (n *Namespace) Ref() Ref { return Ref{KindNamespace, Name{Name: n.Name}} }

// Node is a Kubernetes Node.
type Node struct {
	Name          string
	UID           string
	InternalIPs   []netip.Addr // status.addresses of type InternalIP, in order
	ExternalIPs   []netip.Addr
	PodCIDRs      []netip.Prefix // annotation kube-router.io/pod-cidrs or pod-cidr, else spec.podCIDRs
	Zone          string         // label topology.kubernetes.io/zone
	Created       time.Time      // metadata.creationTimestamp; of two nodes with one range the older has it
	Labels        map[string]string
	Unschedulable bool // cordoned
	NotReady      bool // kubelet says so, or has not been heard of (condition Ready)
	Leaving       bool // being deleted, or tainted ToBeDeletedByClusterAutoscaler
	ExcludeFromLB bool // label node.kubernetes.io/exclude-from-external-load-balancers
	Options       NodeOptions
	Remarks       []Remark
}

// Ref names the Node.
func (n *Node) Ref() Ref { return Ref{KindNode, Name{Name: n.Name}} }

// BridgeAddrs are the addresses of the bridge of its pods: the first of each of their ranges.
func (n *Node) BridgeAddrs() []netip.Addr {
	var list []netip.Addr
	for _, r := range n.PodCIDRs {
		list = append(list, r.Masked().Addr().Next())
	}
	return list
}

// PrimaryIP is the address that other nodes and BGP know the node by: the first InternalIP, else the
// first ExternalIP, else the zero Addr.
func (n *Node) PrimaryIP() netip.Addr {
	for _, a := range append(n.InternalIPs[:len(n.InternalIPs):len(n.InternalIPs)], n.ExternalIPs...) {
		return a
	}
	return netip.Addr{}
}

// IP is the node's best address of one family: the primary one if it is of that family, else the first
// InternalIP, else the first ExternalIP, else the zero Addr.
func (n *Node) IP(f Family) netip.Addr {
	for _, a := range append(n.InternalIPs[:len(n.InternalIPs):len(n.InternalIPs)], n.ExternalIPs...) {
		if FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// NodeOptions are the kube-router.io annotations of a Node, parsed. Secrets never print.
type NodeOptions struct {
	ASN           ASN // node.asn; 0: the cluster's
	Communities   []string
	ImportReject  []netip.Prefix
	AcceptDefault *bool          // node.bgp.accept-default-route (ours); nil: as the flag says
	Accept        []netip.Prefix // node.bgp.accept-prefixes (ours): welcome from routers outside although refused by default
	PrependAS     ASN
	PrependTimes  uint8
	Peers         []Peer
	RRServer      string // cluster id as given; empty: not a reflector
	RRClient      string
	BGPLocalAddrs []netip.Addr
	LocalPref     *uint32 // node.bgp.local-pref (ours)
	MED           *uint32 // node.bgp.med (ours)
	Wire          NodeWire
	Lacking       []Ref // policies that are not in force there, as the node's daemon tells; a zero Ref: none is
}

// Peer is an external BGP peer from flags, from a node's annotation or from a BGPPeer.
type Peer struct {
	Addr      netip.Addr
	ASN       ASN
	LocalASN  ASN  // what the node calls itself in this session; 0: as everywhere
	Port      Port // 0: 179
	Local     netip.Addr
	Password  Secret
	Multihop  uint8   // TTL; below 2: directly connected
	Hops      uint8   // TTL security (RFC 5082): the peer is at most so many hops away, 1 in a subnet of ours; 0: off
	Limit     *uint32 // prefixes that the peer may teach, 0: any number; nil: --peer-router-prefix-limit
	BFD       *BFD
	Hold      time.Duration  // 0: --bgp-holdtime
	Keepalive time.Duration  // 0: a third of the hold time
	Restart   *time.Duration // graceful restart (RFC 4724), 0: off; nil: as the flags say
	Families  []Family       // whose routes are exchanged; empty: those that are enabled
	Shutdown  Shutdown       // when other ways than those through the node are to be preferred
	Import    []BGPRule      // what is taken of it, of what is not refused of everybody: the first that matches decides, else it is accepted
	Export    []BGPRule      // what it is taught, in the same way
}

// Shutdown says when a router is asked to use other ways than those through the node (RFC 8326).
type Shutdown uint8

// When a router is asked.
const (
	ShutdownNever   Shutdown = iota // also every router of flags and annotations
	ShutdownDrained                 // while the node is cordoned, excluded from balancers or about to be removed
	ShutdownAlways
)

// MaxPassword is how many bytes the password of a session may have: what Linux takes for TCP MD5 (RFC 2385).
const MaxPassword = 80

// Secret is text that must never reach a log, a dump or a status. It prints as "(secret)".
type Secret string

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "(secret)" }

// MarshalText hides the secret from JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// BFD are the parameters of a BFD session (RFC 5880).
type BFD struct {
	Port       Port // 0: 3784
	Multiplier uint8
	MinTx      time.Duration
	MinRx      time.Duration
}

// Link is a network interface of this node, without those that we make.
type Link struct {
	Name  string
	Index int
	Kind  string // "device" for hardware, else the driver's kind: bridge, vxlan, veth …
	MTU   int
	Up    bool
	Addrs []netip.Prefix // addresses with their prefix length
}

// Ref names the Link.
func (l *Link) Ref() Ref { return Ref{KindLink, Name{Name: l.Name}} }

// Path is a route learned from a BGP peer: the best paths to one prefix.
type Path struct {
	Prefix   netip.Prefix
	NextHops []netip.Addr // several for equal-cost paths, sorted
	External bool         // learned from an external peer, not from another node
	Kept     bool         // nobody teaches it at present: it is what an earlier life of the daemon left in the kernel
	Sealed   bool         // kept, and led through WireGuard, whose one link leads to all nodes: there are no next hops, the Nodes say whose prefix it is
	Refused  []netip.Addr // peers outside that teach it in vain: the speaker's policy refuses it from them; sorted
}

// Ref names the Path by its prefix.
func (p *Path) Ref() Ref { return Ref{KindPath, Name{Name: p.Prefix.String()}} }

// Overflow is a BGP peer outside that teaches more prefixes than it may, or nearly so many.
type Overflow struct {
	Peer    netip.Addr
	Limit   uint32
	Taught  uint64 // prefixes that the speaker took of it, rounded down to a tenth of the limit: it is a warning, no count
	Refused bool   // some were refused since its session began
}

// Ref names the Overflow by the peer's address.
func (o *Overflow) Ref() Ref { return Ref{KindOverflow, Name{Name: o.Peer.String()}} }
