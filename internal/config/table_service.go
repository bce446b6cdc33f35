package config

import (
	"net/netip"
	"time"

	"kube-router/internal/model"
)

func serviceFlags() []Flag {
	s := func(d *draft) *model.ServiceSettings { return &d.Settings.Services }
	return []Flag{
		{Name: "service-proxy-engine", Type: "string", Default: "auto", Ours: true,
			read:  one(func(d *draft) *model.Engine { return &s(d).Engine }, oneOf(model.EngineAuto, model.EngineIPVS, model.EngineNftables)),
			Usage: "What carries Services: ipvs, nftables, or auto: ipvs where the kernel has it, else nftables."},
		{Name: "socket-lb", Type: "string", Default: "off", Ours: true,
			read:  one(func(d *draft) *model.SocketMode { return &d.Settings.Socket.Mode }, oneOf(model.SocketOff, model.SocketHost, model.SocketPods, model.SocketAuto)),
			Usage: "Whose connect() to a Service becomes one to an endpoint at once, by eBPF: off, host (the node's own), pods (theirs too), auto (as pods, where the kernel can)."},
		{Name: "cgroup-root", Type: "string", Default: "/sys/fs/cgroup", Ours: true, read: one(func(d *draft) *string { return &d.Settings.Socket.CgroupRoot }, anyText),
			Usage: "Where the host's cgroup2 hierarchy is mounted, for --socket-lb; that of a container serves that container alone."},
		{Name: "bpf-root", Type: "string", Default: "/sys/fs/bpf", Ours: true, read: one(func(d *draft) *string { return &d.Settings.Socket.BPFRoot }, anyText),
			Usage: "Where the host's BPF file system is mounted, for --socket-lb; what is pinned there outlives the daemon."},
		{Name: "service-cluster-ip-range", Type: "strings", Default: "10.96.0.0/12", read: many(func(d *draft) *[]netip.Prefix { return &s(d).ClusterRanges }, cidr),
			Usage: "Ranges of cluster addresses, at most two; their families must be enabled."},
		{Name: "service-external-ip-range", Type: "strings", read: many(func(d *draft) *[]netip.Prefix { return &s(d).ExternalRanges }, cidr),
			Usage: "Ranges inside which external addresses of Services are accepted; repeatable."},
		{Name: "service-node-port-range", Type: "string", Default: "30000-32767", read: one(func(d *draft) *ports { return &d.nodePorts }, nodePorts),
			Usage: "Range of node ports, with '-' or ':' between first and last."},
		{Name: "strict-external-ip-validation", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &s(d).StrictExternal }, boolean),
			Usage: "Serve and advertise external and load balancer addresses only inside their ranges and outside the cluster range; without a range none is accepted."},
		{Name: "nodeport-bindon-all-ip", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &s(d).NodePortAll }, boolean),
			Usage: "Serve node ports on every address of the node, not only the primary ones."},
		{Name: "nodeport-addresses", Type: "strings", Ours: true, read: many(func(d *draft) *[]netip.Prefix { return &s(d).NodePortAddresses }, cidr),
			Usage: "Serve node ports on the node's addresses inside these ranges only."},
		{Name: "masquerade-all", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &s(d).MasqueradeAll }, boolean),
			Usage: "Masquerade all Service traffic with the node's address."},
		{Name: "hairpin-mode", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &s(d).Hairpin }, boolean),
			Usage:   "Let a pod reach itself through any of its Services.",
			Differs: "Accepted, and always so: a pod reaches itself through any of its Services. It costs nothing here, so nothing is to be switched on."},
		{Name: "excluded-cidrs", Type: "strings", read: many(func(d *draft) *[]netip.Prefix { return &s(d).Excluded }, cidr),
			Usage: "IPVS services with an address in these ranges are left alone."},
		{Name: "ipvs-permit-all", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &s(d).PermitAll }, boolean),
			Usage:   "Refuse what is sent to Service addresses on ports that no Service has.",
			Differs: "Holds for both engines, and false really ends the refusal; v2 leaves its jump in place."},
		{Name: "ipvs-graceful-termination", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &s(d).Graceful }, boolean),
			Usage:   "Keep a removed endpoint at weight 0 until its connections end.",
			Differs: "An endpoint that comes back is no longer removed. The nftables engine lets connections end by themselves."},
		{Name: "ipvs-graceful-period", Type: "duration", Default: "30s", read: one(func(d *draft) *time.Duration { return &s(d).GracePeriod }, within(0, 0)),
			Usage: "How long, when the pod's own termination period is unknown."},
		{Name: "ipvs-sync-period", Type: "duration", Default: "5m", read: one(func(d *draft) *time.Duration { return &s(d).SyncPeriod }, positive),
			Usage:   "How often the service tables are read again to find what others changed; changes of Services never wait for it.",
			Differs: "Only how often tables are read again to find what others changed; v2 waits for it with some changes."},
		{Name: "service-tcp-timeout", Type: "duration", Default: "0s", read: one(func(d *draft) *time.Duration { return &s(d).TCPTimeout }, within(0, 0)),
			Usage:   "IPVS timeout of idle TCP connections; 0: the kernel's.",
			Differs: "The ipvs engine alone has it; with the nftables engine connection tracking's own timeouts count, and a remark says so."},
		{Name: "service-tcpfin-timeout", Type: "duration", Default: "0s", read: one(func(d *draft) *time.Duration { return &s(d).TCPFinTimeout }, within(0, 0)),
			Usage:   "IPVS timeout of TCP connections after FIN; 0: the kernel's.",
			Differs: "As --service-tcp-timeout."},
		{Name: "service-udp-timeout", Type: "duration", Default: "0s", read: one(func(d *draft) *time.Duration { return &s(d).UDPTimeout }, within(0, 0)),
			Usage:   "IPVS timeout of UDP flows; 0: the kernel's.",
			Differs: "As --service-tcp-timeout."},
		{Name: "runtime-endpoint", Type: "string", read: one(func(d *draft) *string { return &s(d).RuntimeEndpoint }, anyText),
			Usage:   "Socket of the container runtime (CRI), for direct server return; empty: pods are found without it where possible.",
			Differs: "Without it no Docker socket is tried; pods are found by the results of their CNI plugins."},
	}
}
