package config

import (
	"net/netip"
	"slices"
	"time"

	"kube-router/internal/model"
)

// The headings of the guide, in its order.
const (
	groupProcess   = "Process and cluster access"
	groupParts     = "Which parts run"
	groupService   = "Service proxy"
	groupPolicy    = "Network policy"
	groupRoutes    = "Routes and tunnels"
	groupWire      = "Encryption"
	groupBGP       = "BGP"
	groupBalancer  = "Load balancer addresses"
	groupInterface = "Pod interfaces (CNI)"
	groupFlow      = "Flows"
)

// Table is every flag, in the order in which the guide lists them.
func Table() []Flag {
	return slices.Concat(
		grouped(groupProcess, processFlags()),
		grouped(groupParts, partFlags()),
		grouped(groupService, serviceFlags()),
		grouped(groupPolicy, policyFlags()),
		grouped(groupRoutes, routeFlags()),
		grouped(groupWire, wireFlags()),
		grouped(groupInterface, interfaceFlags()),
		grouped(groupBGP, slices.Concat(speakerFlags(), peerFlags(), advertFlags())),
		grouped(groupBalancer, balancerFlags()),
		grouped(groupFlow, flowFlags()),
	)
}

func grouped(group string, flags []Flag) []Flag {
	for i := range flags {
		flags[i].Group = group
	}
	return flags
}

func processFlags() []Flag {
	return []Flag{
		{Name: "config", Type: "string", Ours: true, Process: true, read: one(func(d *draft) *string { return &d.file }, anyText),
			Usage: "YAML file with the same keys as these flags; a flag on the command line wins."},
		{Name: "kubeconfig", Type: "string", read: one(func(d *draft) *string { return &d.Kubeconfig }, anyText),
			Usage: "Kubeconfig file; without it the pod's service account is used."},
		{Name: "master", Type: "string", read: one(func(d *draft) *string { return &d.Master }, anyText),
			Usage: "Address of the API server, in place of the one in the kubeconfig or the service account."},
		{Name: "hostname-override", Type: "string", read: one(func(d *draft) *string { return &d.Settings.Node }, nodeName),
			Usage: "Name of the Node that this host is; without it the environment's NODE_NAME, then the host's name."},
		{Name: "cache-sync-timeout", Type: "duration", Default: "1m", read: one(func(d *draft) *time.Duration { return &d.CacheSyncTimeout }, positive),
			Usage: "How long the first reading of the cluster may take before the program gives up; above 0."},
		{Name: "v", Short: "v", Type: "string", Default: "0", read: one(func(d *draft) *int { return &d.Verbosity }, level),
			Usage: "How much is logged: 0 (changes and faults) to 10."},
		{Name: "version", Short: "V", Type: "bool", Default: "false", Process: true, read: one(func(d *draft) *bool { return &d.Version }, boolean),
			Usage: "Print the version to standard error and exit."},
		{Name: "help", Short: "h", Type: "bool", Default: "false", Process: true, read: one(func(d *draft) *bool { return &d.Help }, boolean),
			Usage: "Print this text and exit."},
		{Name: "cleanup-config", Type: "bool", Default: "false", Process: true, read: one(func(d *draft) *bool { return &d.Cleanup }, boolean),
			Usage:   "Remove everything that this program made on the host, nothing else, and exit.",
			Differs: "Removes what this program made and nothing else; v2 also flushes IPVS services and ipsets of others, and leaves tunnels, routes and rules."},
		{Name: "keep-pods", Type: "bool", Default: "false", Ours: true, Process: true, read: one(func(d *draft) *bool { return &d.KeepPods }, boolean),
			Usage: "With cleanup: leave the bridge, routes, tunnels and settings that running pods are connected by."},
		{Name: "take-over", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &d.Settings.TakeOver }, boolean),
			Usage: "Remove what kube-router v2 or kube-proxy left on this host once our own tables are in place."},
		{Name: "foreign-forward-accept", Type: "bool", Default: "true", Ours: true, read: one(func(d *draft) *bool { return &d.Settings.Accept }, boolean),
			Usage: "Accept packets of pods in chain FORWARD of iptables (nft variant) where its policy or a rule would drop them."},
		{Name: "enable-pprof", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &d.pprof }, boolean),
			Usage:   "Serve Go profiles on 127.0.0.1:6060.",
			Differs: "Profiles are served on 127.0.0.1 alone; v2 serves them on every address."},
		{Name: "health-addr", Type: "string", read: one(func(d *draft) *string { return &d.healthAddr }, listen),
			Usage: "Address on which /healthz and /readyz are served; empty: every address."},
		{Name: "health-port", Type: "uint16", Default: "20244", read: one(func(d *draft) *uint16 { return &d.healthPort }, number[uint16](0, 65535)),
			Usage: "Port of /healthz and /readyz; 0: off."},
		{Name: "metrics-addr", Type: "string", read: one(func(d *draft) *string { return &d.metricsAddr }, listen),
			Usage: "Address on which metrics are served; empty: every address."},
		{Name: "metrics-port", Type: "uint16", Default: "0", read: one(func(d *draft) *uint16 { return &d.metricsPort }, number[uint16](0, 65535)),
			Usage:   "Port of the Prometheus metrics; 0: off.",
			Differs: "65535 works."},
		{Name: "metrics-path", Type: "string", Default: "/metrics", read: one(func(d *draft) *string { return &d.MetricsPath }, urlPath),
			Usage: "Path of the Prometheus metrics."},
		{Name: "control-socket", Type: "string", Default: DefaultControlSocket, Ours: true, read: one(func(d *draft) *string { return &d.ControlSocket }, socket),
			Usage: "Unix socket on which show, why and doctor ask the daemon."},
	}
}

func partFlags() []Flag {
	return []Flag{
		{Name: "run-router", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &d.Settings.Router }, boolean),
			Usage: "Carry pod traffic between nodes: routes, tunnels, BGP."},
		{Name: "run-firewall", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &d.Settings.Firewall }, boolean),
			Usage: "Enforce NetworkPolicies."},
		{Name: "run-service-proxy", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &d.Settings.Proxy }, boolean),
			Usage: "Serve Services, in place of kube-proxy."},
		{Name: "run-loadbalancer", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &d.Settings.Balancer }, boolean),
			Usage:   "Give addresses to Services of type LoadBalancer; one node at a time does it.",
			Differs: "Without a range, or without a namespace for its lease, the program says so and ends; v2 runs and gives nothing."},
		{Name: "run-egress", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &d.Settings.Gateways }, boolean),
			Usage: "Let pods leave the cluster from the addresses of EgressGateways; on every node alike, and before the first of these objects."},
		{Name: "enable-ipv4", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &d.Settings.IPv4 }, boolean),
			Usage: "Handle IPv4."},
		{Name: "enable-ipv6", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &d.Settings.IPv6 }, boolean),
			Usage: "Handle IPv6."},
	}
}

func policyFlags() []Flag {
	p := func(d *draft) *model.PolicySettings { return &d.Settings.Policy }
	return []Flag{
		{Name: "iptables-sync-period", Type: "duration", Default: "5m", read: one(func(d *draft) *time.Duration { return &p(d).SyncPeriod }, positive),
			Usage:   "How often the firewall's tables are read again to find what others changed; changes of policy never wait for it.",
			Differs: "As --ipvs-sync-period. The firewall is an nftables table of our own; the shorter of the two periods counts for it."},
		{Name: "netpol-default-deny", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &p(d).DefaultDeny }, boolean),
			Usage:   "Deny traffic of pods on this node until their policy is in place.",
			Differs: "Does not end the program on a node without a pod range; it begins to count when the range is known."},
		{Name: "use-nftables-for-netpol", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &d.useNft }, boolean),
			Usage:   "Accepted and without effect: the firewall always uses an nftables table of its own.",
			Differs: "Accepted and without effect: the firewall is always one nftables table of our own, with no ipset and no iptables rule."},
		{Name: "netpol-judge-icmp-echo", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &p(d).JudgeEcho }, boolean),
			Usage: "Let policies judge echo requests; otherwise ping always passes."},
		{Name: "netpol-keep-established", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &p(d).KeepFlows }, boolean),
			Usage: "Let established connections live on when a policy that forbids them comes."},
		{Name: "cluster-domain", Type: "string", Default: "cluster.local", Ours: true, read: one(func(d *draft) *string { return &p(d).Names.Domain }, domain),
			Usage: "The cluster's DNS domain: names below it may stand for pods where policies accept by domain name."},
		{Name: "policy-names-servers", Type: "strings", Default: "169.254.20.10", Ours: true, read: resolvers,
			Usage: "Resolvers whose answers tell policies what domain names stand for, beside the Service of the cluster's DNS: addresses, or Services as namespace/name."},
		{Name: "policy-names-min-ttl", Type: "duration", Default: "30s", Ours: true, read: one(func(d *draft) *time.Duration { return &p(d).Names.Least }, within(1, 24*time.Hour)),
			Usage: "How long an address that a domain name stands for counts at least, however short its TTL."},
		{Name: "policy-names-grace", Type: "duration", Default: "15s", Ours: true, read: one(func(d *draft) *time.Duration { return &p(d).Names.Grace }, within(0, 24*time.Hour)),
			Usage: "For how much longer than its TTL an address counts that a domain name stands for."},
	}
}

func interfaceFlags() []Flag {
	c := func(d *draft) *model.CNISettings { return &d.Settings.CNI }
	return []Flag{
		{Name: "enable-cni", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &c(d).Enabled }, boolean),
			Usage: "Write the node's CNI file (KUBE_ROUTER_CNI_CONF_FILE)."},
		{Name: "auto-mtu", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &c(d).AutoMTU }, boolean),
			Usage:   "Set the MTU of bridge and pods to what the node's link and the tunnel leave.",
			Differs: "Takes off what the tunnel adds, as its text has always said; v2 does not."},
		{Name: "cni-socket", Type: "string", Default: DefaultCNISocket, Ours: true, read: one(func(d *draft) *string { return &c(d).Socket }, socket),
			Usage: "Unix socket on which the kube-router-cni plugin finds the daemon."},
		{Name: "cni-plugin", Type: "string", Default: "chain", Ours: true, read: one(func(d *draft) *model.PluginMode { return &c(d).Plugin }, oneOf(model.PluginChain, model.PluginOwn)),
			Usage: "Who connects pods: chain (bridge, host-local, portmap and bandwidth, then kube-router-cni) or own (kube-router-cni alone, faster); pods that run stay as they are."},
	}
}

func balancerFlags() []Flag {
	a := func(d *draft) *model.AllocatorSettings { return &d.Settings.Allocator }
	return []Flag{
		{Name: "loadbalancer-ip-range", Type: "strings", read: many(func(d *draft) *[]netip.Prefix { return &a(d).Ranges }, cidr),
			Usage: "Ranges from which LoadBalancer addresses are given, and inside which they are accepted; repeatable."},
		{Name: "loadbalancer-default-class", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &a(d).DefaultClass }, boolean),
			Usage: "Also serve Services without a load balancer class or with class \"default\", not only \"kube-router\"."},
		{Name: "loadbalancer-sync-period", Type: "duration", Default: "1m", read: one(func(d *draft) *time.Duration { return &a(d).SyncPeriod }, positive),
			Usage:   "How often given addresses are compared with the Services' status again.",
			Differs: "Honoured always; v2 honours it once."},
	}
}
