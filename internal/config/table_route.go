package config

import (
	"math"
	"net/netip"
	"time"

	"kube-router/internal/model"
)

func routeFlags() []Flag {
	r := func(d *draft) *model.RouteSettings { return &d.Settings.Routes }
	return []Flag{
		{Name: "node-routes", Type: "string", Default: "bgp", Ours: true, read: one(func(d *draft) *string { return &r(d).Source }, oneOf("bgp", "api")),
			Usage: "Where routes to other nodes' pods come from: bgp, or api: straight from their Node objects, without a mesh of sessions."},
		{Name: "enable-overlay", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &r(d).Overlay }, boolean),
			Usage: "Use tunnels to nodes where --overlay-type asks for them; otherwise the network between nodes must route pod addresses."},
		{Name: "overlay-type", Type: "string", Default: "subnet", read: one(func(d *draft) *string { return &r(d).OverlayType }, oneOf("subnet", "full")),
			Usage:   "subnet: tunnels to nodes outside the node's own subnets only; full: to every node.",
			Differs: "An unknown word is an error; v2 takes it for \"no tunnels\"."},
		{Name: "overlay-encap", Type: "string", Default: "ipip", read: one(func(d *draft) *string { return &r(d).OverlayEncap }, oneOf("ipip", "fou", "vxlan")),
			Usage:   "Kind of tunnel: ipip, fou or vxlan.",
			Differs: "vxlan is a third kind."},
		{Name: "overlay-encap-port", Type: "uint16", Default: "5555", read: one(func(d *draft) *model.Port { return &r(d).OverlayPort }, number[model.Port](1024, 65535)),
			Usage: "UDP port of fou tunnels; at least 1024, the same on every node. vxlan uses 8472."},
		{Name: "enable-pod-egress", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &r(d).PodEgress }, boolean),
			Usage: "Masquerade what pods send out of the cluster with the node's address."},
		{Name: "pod-egress-exclude", Type: "strings", Ours: true, read: many(func(d *draft) *[]netip.Prefix { return &r(d).EgressExclude }, cidr),
			Usage: "Destinations to which pods keep their own address."},
		{Name: "cluster-cidr", Type: "strings", Ours: true, read: many(func(d *draft) *[]netip.Prefix { return &r(d).ClusterCIDRs }, cidr),
			Usage:   "Ranges that hold all pods; without it the nodes' pod ranges do. Known from kube-router's first guide.",
			Differs: "Known from the first guide, gone in v2: accepted again, with the same meaning."},
		{Name: "disable-source-dest-check", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &d.noSourceDestCheck }, boolean),
			Usage:   "Accepted for compatibility: nothing asks the cloud (AWS) to switch its source and destination check off; do that where machines are made.",
			Differs: "Accepted and without effect: the program has no cloud credentials. Set the instance's switch with the cloud's own tools."},
		{Name: "routes-sync-period", Type: "duration", Default: "5m", read: one(func(d *draft) *time.Duration { return &r(d).SyncPeriod }, positive),
			Usage:   "How often the speaker's tables are read again to find what others changed; changes never wait for it.",
			Differs: "As --ipvs-sync-period, for the BGP speaker."},
		{Name: "injected-routes-sync-period", Type: "duration", Default: "60s", read: one(func(d *draft) *time.Duration { return &r(d).InjectedPeriod }, positive),
			Usage:   "How often the kernel's routes are read again, besides its own notifications.",
			Differs: "Changes are seen at once; this is only how often the kernel is read again."},
	}
}

func speakerFlags() []Flag {
	b := func(d *draft) *model.BGPSettings { return &d.Settings.BGP }
	return []Flag{
		{Name: "cluster-asn", Type: "uint", Default: "0", read: one(func(d *draft) *model.ASN { return &b(d).ASN }, clusterASN),
			Usage: "AS number of the nodes, 64512-65535 or 4200000000-4294967294; 0: 64512."},
		{Name: "enable-ibgp", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &b(d).IBGP }, boolean),
			Usage: "Peer with the other nodes."},
		{Name: "nodes-full-mesh", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &b(d).FullMesh }, boolean),
			Usage: "Peer with every node; otherwise only with nodes of the same kube-router.io/node.asn."},
		{Name: "ibgp-password-file", Type: "string", Ours: true, read: one(func(d *draft) *string { return &d.ibgpFile }, anyText),
			Usage: "File with the password (plain text, TCP MD5) of sessions between nodes."},
		{Name: "override-nexthop", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &b(d).OverrideNextHop }, boolean),
			Usage: "Advertise this node as next hop of everything sent to external peers."},
		{Name: "bgp-port", Type: "uint32", Default: "179", read: one(func(d *draft) *model.Port { return &b(d).Port }, number[model.Port](1, 65535)),
			Usage: "Port on which the speaker listens and other nodes are called."},
		{Name: "bgp-holdtime", Type: "duration", Default: "90s", read: one(func(d *draft) *time.Duration { return &b(d).HoldTime }, within(3*time.Second, 65535*time.Second)),
			Usage:   "Hold time offered to peers, 3s to 65535s (RFC 4271).",
			Differs: "Ends at 65535s, the most that BGP can say; holds for nodes as well as for routers outside."},
		{Name: "bgp-graceful-restart", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &b(d).GracefulRestart }, boolean),
			Usage:   "Ask external peers to keep our routes while we restart (RFC 4724). Nodes always do so for each other.",
			Differs: "Between nodes it is always on."},
		{Name: "bgp-graceful-restart-time", Type: "duration", Default: "90s", read: one(func(d *draft) *time.Duration { return &b(d).RestartTime }, duration),
			Usage: "How long peers wait for our return; at most 4095s."},
		{Name: "bgp-graceful-restart-deferral-time", Type: "duration", Default: "6m", read: one(func(d *draft) *time.Duration { return &b(d).DeferralTime }, duration),
			Usage:   "How long choosing routes may wait for all peers after our restart; at most 18h.",
			Differs: "Counts on route reflectors. Other nodes advertise after a second: what they advertise does not depend on what they learn."},
		{Name: "router-id", Type: "string", read: one(func(d *draft) *string { return &b(d).RouterID }, routerID),
			Usage: "BGP identifier: an IPv4 address, or \"generate\" to derive one; needed when the node's primary address is IPv6."},
		{Name: "gobgp-admin-address", Type: "string", Default: "127.0.0.1", read: one(func(d *draft) *netip.Addr { return &b(d).AdminAddr }, admin),
			Usage:   "Address of GoBGP's gRPC, for reading, without authentication; 127.0.0.1 is always served as well.",
			Differs: "Reading only; changes need root and the unix socket gobgp.sock beside --control-socket."},
		{Name: "gobgp-admin-port", Type: "uint16", Default: "50051", read: one(func(d *draft) *model.Port { return &b(d).AdminPort }, number[model.Port](0, 65535)),
			Usage: "Port of GoBGP's gRPC; 0: off."},
	}
}

func peerFlags() []Flag {
	b := func(d *draft) *model.BGPSettings { return &d.Settings.BGP }
	return []Flag{
		{Name: "peer-router-ips", Type: "ipSlice", read: many(func(d *draft) *[]netip.Addr { return &d.peers.addrs }, peer),
			Usage: "External routers with which every node peers."},
		{Name: "peer-router-asns", Type: "uints", read: many(func(d *draft) *[]model.ASN { return &d.peers.asns }, routerASN),
			Usage:   "Their AS numbers, one for each address.",
			Differs: "Each number is checked, and all faults are reported together."},
		{Name: "peer-router-ports", Type: "uints", read: many(func(d *draft) *[]model.Port { return &d.peers.ports }, portOf),
			Usage:   "Their ports, one for each address or none; without it 179.",
			Differs: "As --peer-router-asns."},
		{Name: "peer-router-prefix-limit", Type: "uint32", Default: "10000", Ours: true, read: one(func(d *draft) *uint32 { return &b(d).PeerLimit }, number[uint32](0, math.MaxInt32)),
			Usage: "How many prefixes such a router may teach; the rest is refused, and the session stays. 0: any number."},
		{Name: "peer-router-ttl-security", Type: "uint8", Default: "0", Ours: true, read: one(func(d *draft) *uint8 { return &d.peers.hops }, number[uint8](0, 254)),
			Usage: "Drop what comes from further away than so many hops in the name of these routers (RFC 5082), 1 for routers in the node's subnet; they must send a TTL of 255. 0: off."},
		{Name: "accept-default-route", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &b(d).AcceptDefault }, boolean),
			Usage: "Take a default route that external peers teach."},
		{Name: "accept-prefixes", Type: "strings", Ours: true, read: many(func(d *draft) *[]netip.Prefix { return &b(d).Accept }, cidr),
			Usage: "Take what external peers teach in these ranges even where it is refused by default: in ranges of pods, Services and the node's subnets, and what is no destination."},
		{Name: "peer-router-passwords", Type: "strings", Secret: true, read: many(func(d *draft) *[]model.Secret { return &d.peers.passwords }, password),
			Usage: "Their passwords in base64, one for each address or none. Better in a file: a command line is no secret."},
		{Name: "peer-router-passwords-file", Type: "string", read: one(func(d *draft) *string { return &d.peers.file }, anyText),
			Usage: "File with their passwords in base64, separated by commas; --peer-router-passwords wins."},
		{Name: "peer-router-multihop-ttl", Type: "uint8", Default: "0", read: one(func(d *draft) *uint8 { return &d.peers.ttl }, number[uint8](0, 255)),
			Usage: "How many hops away these routers may be; from 2 on."},
		{Name: "enable-bfd", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &d.bfd.on }, boolean),
			Usage:   "Watch these routers with BFD (RFC 5880).",
			Differs: "Sessions between nodes are watched too."},
		{Name: "bfd-port", Type: "uint32", Default: "3784", read: one(func(d *draft) *uint32 { return &d.bfd.port }, number[uint32](0, 1<<32-1)),
			Usage: "UDP port at which these routers take BFD packets; nodes take them at 3784."},
		{Name: "bfd-detection-multiplier", Type: "uint32", Default: "3", read: one(func(d *draft) *uint32 { return &d.bfd.multiplier }, number[uint32](0, 1<<32-1)),
			Usage: "How many missed packets mean that the router is gone, 1 to 255."},
		{Name: "bfd-desired-min-tx-interval", Type: "uint32", Default: "1000", read: one(func(d *draft) *uint32 { return &d.bfd.tx }, number[uint32](0, 1<<32-1)),
			Usage: "Milliseconds between the packets that we send."},
		{Name: "bfd-required-min-rx-interval", Type: "uint32", Default: "1000", read: one(func(d *draft) *uint32 { return &d.bfd.rx }, number[uint32](0, 1<<32-1)),
			Usage: "Milliseconds between packets that we can receive."},
	}
}

func advertFlags() []Flag {
	b := func(d *draft) *model.BGPSettings { return &d.Settings.BGP }
	return []Flag{
		{Name: "advertise-cluster-ip", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &b(d).AdvertiseCluster }, boolean),
			Usage: "Advertise cluster addresses of Services to external peers."},
		{Name: "advertise-external-ip", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &b(d).AdvertiseExternal }, boolean),
			Usage: "Advertise external addresses of Services to external peers."},
		{Name: "advertise-loadbalancer-ip", Type: "bool", Default: "false", read: one(func(d *draft) *bool { return &b(d).AdvertiseLB }, boolean),
			Usage: "Advertise load balancer addresses of Services to external peers."},
		{Name: "advertise-pod-cidr", Type: "bool", Default: "true", read: one(func(d *draft) *bool { return &b(d).AdvertisePodCIDR }, boolean),
			Usage: "Advertise the node's pod ranges to external peers."},
		{Name: "advertise-pod-aggregate", Type: "strings", Ours: true, read: many(func(d *draft) *[]netip.Prefix { return &b(d).AggregatePodCIDRs }, cidr),
			Usage: "Advertise these ranges to external peers in place of the pod ranges inside them."},
		{Name: "advertise-service-ranges", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &b(d).AggregateServices }, boolean),
			Usage: "Advertise the Services' ranges in place of single addresses."},
		{Name: "withdraw-on-cordon", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &d.Settings.Routes.DrainUnscheduled }, boolean),
			Usage: "Advertise no Service address from a cordoned node."},
	}
}
