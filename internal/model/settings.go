package model

import (
	"net/netip"
	"time"
)

// Settings is the validated configuration of the daemon: flags, environment and file in one value.
// Every field that has a flag names it.
type Settings struct {
	Node      string // --hostname-override, NODE_NAME or the host's name: the Node that we are
	Router    bool   // --run-router
	Firewall  bool   // --run-firewall
	Proxy     bool   // --run-service-proxy
	Balancer  bool   // --run-loadbalancer
	Gateways  bool   // --run-egress (ours): EgressGateways count
	IPv4      bool   // --enable-ipv4
	IPv6      bool   // --enable-ipv6
	TakeOver  bool   // --take-over (ours)
	Accept    bool   // --foreign-forward-accept (ours): rules of ours may stand in chain FORWARD of iptables
	APIPort   Port   // found at the start: of the API server that the daemon asks; 0: not known
	Listens   []Port // TCP ports at which kube-router answers on the node: --health-port, --metrics-port
	Services  ServiceSettings
	Socket    SocketSettings
	Policy    PolicySettings
	Routes    RouteSettings
	BGP       BGPSettings
	CNI       CNISettings
	Allocator AllocatorSettings

	Encryption EncryptionSettings
	Flows      FlowSettings
}

// FlowMode says what of the traffic is kept for who asks.
type FlowMode string

// The modes.
const (
	FlowsOff   FlowMode = "off"   // nothing: nobody listens
	FlowsDrops FlowMode = "drops" // what rules of ours ended
	FlowsAll   FlowMode = "all"   // and every connection
)

// FlowMetrics is how finely flows are counted for metrics.
type FlowMetrics string

// How finely flows are counted for metrics.
const (
	FlowsUncounted   FlowMetrics = "off"
	FlowsByNamespace FlowMetrics = "namespace"
	FlowsByWorkload  FlowMetrics = "workload"
)

// FlowSettings configure what is seen of the traffic.
type FlowSettings struct {
	Mode   FlowMode // --flows (ours)
	Buffer uint32   // --flows-buffer (ours): connections that are kept
	Drops  uint32   // --flows-drops-buffer (ours): ended beginnings that are kept
	Rate   uint32   // --flows-rate (ours): events of connection tracking that are taken each second
	Sample uint32   // --flows-sample (ours): one connection of so many is kept

	Metrics FlowMetrics // --flows-metrics (ours)
	Export  string      // --flows-otlp (ours): URL to which flows are sent; empty: nowhere
	Series  uint32      // --flows-metrics-series (ours): how many pairs are counted apart
}

// Families are the enabled address families, IPv4 first.
func (s *Settings) Families() []Family {
	var f []Family
	if s.IPv4 {
		f = append(f, IPv4)
	}
	if s.IPv6 {
		f = append(f, IPv6)
	}
	return f
}

// Has tells whether a family is enabled.
func (s *Settings) Has(f Family) bool { return f == IPv4 && s.IPv4 || f == IPv6 && s.IPv6 }

// ServiceSettings configure the service proxy.
type ServiceSettings struct {
	Engine            Engine         // --service-proxy-engine (ours)
	ClusterRanges     []netip.Prefix // --service-cluster-ip-range
	ClusterGiven      bool           // ClusterRanges were given and aren't the default, which may not be this cluster's
	ExternalRanges    []netip.Prefix // --service-external-ip-range
	NodePortFirst     Port           // --service-node-port-range
	NodePortLast      Port
	NodePortAll       bool           // --nodeport-bindon-all-ip
	NodePortAddresses []netip.Prefix // --nodeport-addresses (ours); empty: the primary addresses
	StrictExternal    bool           // --strict-external-ip-validation
	MasqueradeAll     bool           // --masquerade-all
	Hairpin           bool           // --hairpin-mode
	Excluded          []netip.Prefix // --excluded-cidrs
	PermitAll         bool           // --ipvs-permit-all
	Graceful          bool           // --ipvs-graceful-termination
	GracePeriod       time.Duration  // --ipvs-graceful-period
	TCPTimeout        time.Duration  // --service-tcp-timeout
	TCPFinTimeout     time.Duration  // --service-tcpfin-timeout
	UDPTimeout        time.Duration  // --service-udp-timeout
	RuntimeEndpoint   string         // --runtime-endpoint
	SyncPeriod        time.Duration  // --ipvs-sync-period: the slow re-read of the kernel
}

// SocketMode says whose sockets are served at connect(), before there is a packet.
type SocketMode string

// The modes. With SocketAuto a kernel that can't is no matter, with the others it is told.
const (
	SocketOff  SocketMode = "off"
	SocketHost SocketMode = "host" // those of the node itself
	SocketPods SocketMode = "pods" // those of pods too
	SocketAuto SocketMode = "auto" // as pods, where the kernel can
)

// SocketSettings configure Services at the socket.
type SocketSettings struct {
	Mode       SocketMode // --socket-lb (ours)
	CgroupRoot string     // --cgroup-root (ours): where the host's cgroup2 hierarchy is, as --cgroup-root names it or below it
	BPFRoot    string     // --bpf-root (ours): a BPF file system of the host's
	Cookie     uint64     // found at the start: of the node's own network namespace (SO_NETNS_COOKIE)
	Unable     string     // found at the start: why this node can't; empty: it can, or it need not
}

// AtSocket tells whether Services are served at connect() on this node.
func (s *Settings) AtSocket() bool {
	return s.Proxy && s.Socket.Mode != SocketOff && s.Socket.Mode != "" && s.Socket.Unable == ""
}

// AtPodSockets tells whether those of pods are served too. Pods' annotations have a say, and the firewall alone reads pods.
func (s *Settings) AtPodSockets() bool {
	return s.AtSocket() && s.Socket.Mode != SocketHost && s.Firewall && s.CNI.Socket != ""
}

// PolicySettings configure the network policy firewall.
type PolicySettings struct {
	DefaultDeny bool          // --netpol-default-deny
	JudgeEcho   bool          // --netpol-judge-icmp-echo (ours): echo requests obey policies
	KeepFlows   bool          // --netpol-keep-established (ours): don't cut flows that a tighter policy forbids
	SyncPeriod  time.Duration // --iptables-sync-period
	Names       NameSettings
}

// NameSettings configure domain names as peers.
type NameSettings struct {
	Resolvers []netip.Addr  // --policy-names-servers (ours): whose answers count beside those of the cluster's DNS Services
	Services  []Name        // the same flag: Services whose answers count
	Domain    string        // --cluster-domain (ours): of names that may stand for pods; in lower case, without a dot at the end
	Least     time.Duration // --policy-names-min-ttl (ours): how long an address counts that is told to count shorter
	Grace     time.Duration // --policy-names-grace (ours): for how much longer than told each counts
	ByTarget  bool          // found at the start: rules queue packets by the target of xtables, for the kernel has no word of nftables
}

// RouteSettings configure routes and tunnels.
type RouteSettings struct {
	Source           string         // --node-routes (ours): "bgp" or "api"
	Overlay          bool           // --enable-overlay
	OverlayType      string         // --overlay-type: "subnet" or "full"
	OverlayEncap     string         // --overlay-encap: "ipip", "fou" or "vxlan" (ours)
	OverlayPort      Port           // --overlay-encap-port
	PodEgress        bool           // --enable-pod-egress
	EgressExclude    []netip.Prefix // --pod-egress-exclude (ours): destinations not masqueraded
	ClusterCIDRs     []netip.Prefix // --cluster-cidr: tells pod traffic; empty: the nodes' pod CIDRs
	SourceDestCheck  bool           // not --disable-source-dest-check: the cloud's check stays on
	SyncPeriod       time.Duration  // --routes-sync-period
	InjectedPeriod   time.Duration  // --injected-routes-sync-period
	DrainUnscheduled bool           // --withdraw-on-cordon (ours): a cordoned node announces no service address
}

// BGPSettings configure the speaker.
type BGPSettings struct {
	ASN               ASN            // --cluster-asn
	FullMesh          bool           // --nodes-full-mesh
	IBGP              bool           // --enable-ibgp
	OverrideNextHop   bool           // --override-nexthop
	Port              Port           // --bgp-port
	HoldTime          time.Duration  // --bgp-holdtime
	GracefulRestart   bool           // --bgp-graceful-restart
	RestartTime       time.Duration  // --bgp-graceful-restart-time
	DeferralTime      time.Duration  // --bgp-graceful-restart-deferral-time
	Peers             []Peer         // --peer-router-*
	PeerLimit         uint32         // --peer-router-prefix-limit (ours): prefixes that a peer outside may teach; 0: any number
	AcceptDefault     bool           // --accept-default-route (ours): peers outside may teach a default route
	Accept            []netip.Prefix // --accept-prefixes (ours): peers outside may teach what lies in these although refused by default
	IBGPPassword      Secret         // --ibgp-password-file (ours)
	BFD               *BFD           // --enable-bfd and --bfd-*; nil: off
	RouterID          string         // --router-id: empty, an IPv4 address, or "generate"
	AdminAddr         netip.Addr     // --gobgp-admin-address
	AdminPort         Port           // --gobgp-admin-port; 0: no gRPC
	AdvertiseCluster  bool           // --advertise-cluster-ip
	AdvertiseExternal bool           // --advertise-external-ip
	AdvertiseLB       bool           // --advertise-loadbalancer-ip
	AdvertisePodCIDR  bool           // --advertise-pod-cidr
	AggregatePodCIDRs []netip.Prefix // --advertise-pod-aggregate (ours): announced to external peers in place of parts
	AggregateServices bool           // --advertise-service-ranges (ours): ranges in place of single addresses
}

// CNISettings configure the node's CNI file.
type CNISettings struct {
	Enabled bool       // --enable-cni
	File    string     // KUBE_ROUTER_CNI_CONF_FILE
	AutoMTU bool       // --auto-mtu
	Socket  string     // --cni-socket (ours): where kube-router-cni finds the daemon
	Plugin  PluginMode // --cni-plugin (ours)
}

// PluginMode says who connects the pods of this node.
type PluginMode string

// The modes of --cni-plugin.
const (
	PluginChain PluginMode = "chain" // the plugins bridge, host-local, portmap and bandwidth, and ours behind them
	PluginOwn   PluginMode = "own"   // ours in their place
)

// AllocatorSettings configure the LoadBalancer address allocator.
type AllocatorSettings struct {
	Ranges       []netip.Prefix // --loadbalancer-ip-range
	DefaultClass bool           // --loadbalancer-default-class
	SyncPeriod   time.Duration  // --loadbalancer-sync-period: the slow comparison with the Services' status
	Namespace    string         // POD_NAMESPACE: where the leader lease lives
	Identity     string         // POD_NAME: the holder of the lease
}

// OwnsNetwork tells whether it is we who give this node's pods their network.
func (s *Settings) OwnsNetwork() bool { return s.Router && s.CNI.Enabled }

// Guards tells whether this node guards what its pods send: it hears of their ports from our CNI plugin, which our CNI
// file chains, and another CNI's may.
func (s *Settings) Guards() bool {
	return s.CNI.Socket != "" && (s.Firewall || s.Router && s.CNI.Enabled)
}
