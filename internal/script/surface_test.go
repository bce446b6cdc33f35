package script

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/config"
)

// beside are flags about the process, which no row shows. The test of that folder, with the real binary, has a case
// for each.
const beside = "../../test/operate/flags_test.go"

// elsewhere are flags that only a test of one driver can show.
func elsewhere() map[string]string {
	return map[string]string{
		"runtime-endpoint": "../driver/podns/cri_test.go", "keep-pods": "../../test/operate/cleanup_test.go",
		"bpf-root": "../driver/bpf/kernel_test.go",
		"flows":    "../../test/flows/world_test.go", "flows-buffer": "../../test/flows/load_test.go", "flows-drops-buffer": "../../test/flows/load_test.go",
		"flows-rate": "../../test/flows/load_test.go", "flows-sample": "../../test/flows/load_test.go",
		"flows-metrics": "../../test/flows/loss_test.go", "flows-otlp": "../../test/flows/loss_test.go", "flows-metrics-series": "../../test/flows/loss_test.go",
		"policy-names-min-ttl": "../../test/policy/main_test.go", "policy-names-grace": "../../test/policy/main_test.go",
		"policy-names-servers": "../../test/policy/main_test.go", "cluster-domain": "../../test/policy/main_test.go",
		"foreign-forward-accept": "../../test/routes/forward_test.go", "wireguard-key-file": "../../test/encryption/world_test.go", "wireguard-rotate-every": "../../test/encryption/life_test.go",
	}
}

// flagEffects are what flags do, one case or more each.
func flagEffects() []effect {
	return slices.Concat(partEffects(), serviceEffects(), policyEffects(), routeEffects(), speakerEffects(), peerEffects(), wireEffects())
}

// Flags that are said on both sides.
const (
	withIPVS   = "--service-proxy-engine=ipvs"
	withAPI    = "--node-routes=api"
	withRouter = "--peer-router-ips=10.0.0.254 --peer-router-asns=65001"
	withBFD    = withRouter + " --enable-bfd"
	withRange  = "--loadbalancer-ip-range=203.0.113.0/24"
)

func partEffects() []effect {
	return []effect{
		{name: "run-router", value: "false",
			less: []string{"bgp: global as 64512", "rtnl: link kube-bridge", "nft: host-masquerade ", "cni: range 10.244.1.0/24", "cni has: kube-bridge", "sysctl: kube-bridge"}},
		{name: "cni-plugin", value: "own", less: []string{"cni has: socket", "cni: wait /run/kube-router/cni.sock"},
			more: []string{"cni has: own", "cni has: instead", "cni has: bandwidth", "cni: wait /run/kube-router/cni.sock own"}},
		{name: "run-firewall", value: "false", less: []string{"nft: policy-forward", "nft: policy-ingress4 { 10.244.1.5 :", "reports: policystatus cluster"}},
		{name: "run-service-proxy", value: "false", less: []string{"conntrack: flows from outside", "nft: services-heads4 { 10.96.0.10 . tcp . 8080", "sysctl: close_wait", "remark: 198.51.100.7"}},
		{name: "run-loadbalancer", value: "true", also: withRange, less: []string{"remark: spec.loadBalancerClass is not set, and --run-loadbalancer is off"},
			more: []string{"balancer: service default/wish external-ip 203.0.113.1", "balancer: service default/web external-ip 203.0.113.5", "pace: balancer is read every 1m0s"}},
		{name: "run-egress", value: "true", more: []string{"nft: egress-guard", "nft: egress-inside4 { 10.244.2.0-10.244.2.255"}},
		{name: "enable-ipv4", value: "false", also: "--enable-ipv6 --service-cluster-ip-range=fd96::/112 --router-id=generate",
			less: []string{"nft: services-heads4", "bgp: path 10.244.1.0/24", "sysctl: net.ipv4.ip_forward", "rtnl: rule 32763: from 10.244.1.0/24", "cni: range 10.244.1.0/24", "cni has: 10.244.1.0/24", "remark: 203.0.113.5", "conntrack: clients are given 10.0.0.1 fd00::1"},
			more: []string{"remark: IPv4 is not enabled", "conntrack: clients are given fd00::1"}},
		{name: "enable-ipv6", value: "true",
			more: []string{"nft: services-heads6 { fd96::10 . tcp . 8080", "bgp: path fd01:0:0:1::/64", "sysctl: net.ipv6.conf.all.forwarding", "rtnl: rule -6 32763: from fd01:0:0:1::/64", "cni: range fd01:0:0:1::/64", "cni has: fd01:0:0:1::/64", "conntrack: clients are given 10.0.0.1 fd00::1"}},
	}
}

func serviceEffects() []effect {
	return []effect{
		{name: "service-proxy-engine", value: "ipvs",
			less: []string{"nft: services-heads4 { 10.96.0.10 . tcp . 8080"},
			more: []string{"ipvs: -A -t 10.96.0.10:8080 -s rr", "ipvs has: -a -t 10.96.0.10:8080 -r 10.244.1.5:8080 -m -w 1", "rtnl: addr 10.96.0.10/32 dev kube-dummy-if", "sysctl: net.ipv4.vs.conntrack = 1"}},
		{name: "socket-lb", value: "pods", more: []string{"bpf: map update name kr_heads4 key 10.96.0.10:8080/tcp value", "bpf: map update name kr_slots4 key 10.96.0.10:8080/tcp#0 value 10.244.1.5:8080",
			"bpf: map update name kr_netns key 1 value host", "bpf: map update name kr_netns key 7 value pod", "bpf: cgroup attach /sys/fs/cgroup connect6"}},
		{name: "socket-lb", value: "host", also: withIPVS, more: []string{"bpf: map update name kr_heads4 key 10.96.0.10:8080/tcp value", "bpf: map update name kr_netns key 1 value host"}},
		{name: "socket-lb", value: "off", also: "--socket-lb=pods", less: []string{"bpf: map update name kr_heads4 key 10.96.0.10:8080/tcp value", "bpf: cgroup attach /sys/fs/cgroup connect4"}},
		{name: "cgroup-root", value: "/host/cgroup", also: "--socket-lb=pods", less: []string{"bpf: cgroup attach /sys/fs/cgroup connect4"}, more: []string{"bpf: cgroup attach /host/cgroup connect4"}},
		{name: "service-cluster-ip-range", value: "10.100.0.0/16",
			less: []string{"nft: policy-fronts4 { 10.96.0.0-10.111.255.255 }", "bgp: heldrangesdefinedset 10.96.0.0/12"}, more: []string{"nft: policy-fronts4 { 10.100.0.0-10.100.255.255 }", "bgp: heldrangesdefinedset 10.100.0.0/16", "nft: host-refuse4 { 10.100.0.0-10.100.255.255 }"}},
		{name: "service-external-ip-range", value: "198.51.100.0/24",
			less: []string{"remark: spec.externalIPs[0]: 198.51.100.7 ignored"}, more: []string{"nft: services-heads4 { 198.51.100.7 . tcp . 8080", "nft: policy-fronts4 { 198.51.100.0-198.51.100.255 }", "bgp: heldrangesdefinedset 198.51.100.0/24"}},
		{name: "service-node-port-range", value: "20000:20010",
			less: []string{"nft: policy-node-ports { tcp . 30000-32767 }"}, more: []string{"nft: policy-node-ports { tcp . 20000-20010 }"}},
		{name: "strict-external-ip-validation", value: "false",
			less: []string{"remark: 198.51.100.7 ignored", "remark: 203.0.113.5 ignored"}, more: []string{"nft: services-heads4 { 198.51.100.7 .", "nft: services-heads4 { 203.0.113.5 .", "remark: CVE-2020-8554"}},
		{name: "nodeport-bindon-all-ip", value: "true", more: []string{"nft: services-heads4 { 192.168.9.1 . tcp . 30080"}},
		{name: "nodeport-addresses", value: "192.168.0.0/16",
			less: []string{"nft: services-heads4 { 10.0.0.1 . tcp . 30080"}, more: []string{"nft: services-heads4 { 192.168.9.1 . tcp . 30080"}},
		{name: "masquerade-all", value: "true",
			less: []string{"nft: random-3-outside ip saddr != @services-inside4 ip saddr != @services-self4 meta mark set"}, more: []string{"nft: services-v4-random-3-all meta mark set"}},
		{name: "masquerade-all", value: "true", also: withIPVS,
			less: []string{"nft: ipvs-masked4 { 10.96.0.10 . tcp . 8080 : goto ipvs-mask-outside"}, more: []string{"nft: ipvs-masked4 { 10.96.0.10 . tcp . 8080 : goto ipvs-mask-all"}},
		{name: "hairpin-mode", value: "true", same: []string{"nft: services-hairpin4 { 10.244.1.5 . 10.244.1.5 }"}},
		{name: "hairpin-mode", value: "true", also: withIPVS, same: []string{"nft: ipvs-hairpin4 { 10.244.1.5 . 10.244.1.5 }"}},
		{name: "excluded-cidrs", value: "10.96.0.200/29", also: withIPVS, more: []string{"ipvs has: -A -t 10.96.0.200:80 -s rr # of another program"}},
		{name: "ipvs-permit-all", value: "false", also: withIPVS, less: []string{"nft: ipvs-refuse meta nfproto ipv4 ip daddr @ipvs-vips4 goto services-refuse-port"}},
		{name: "ipvs-permit-all", value: "false", less: []string{"nft: services-refuse meta nfproto ipv4 ip daddr @services-vips4 fib daddr type != local ip daddr != @host-nodes4 goto services-refuse-port"}},
		{name: "ipvs-graceful-termination", value: "true", also: withIPVS, more: []string{"draining: 5s later -a -t 10.96.0.10:8080 -r 10.244.3.5:8080 -m -w 0"}},
		{name: "ipvs-graceful-period", value: "1m", also: withIPVS + " --ipvs-graceful-termination", more: []string{"draining: 45s later -a -t 10.96.0.10:8080 -r 10.244.3.5:8080 -m -w 0"}},
		{name: "ipvs-sync-period", value: "1m", also: withIPVS,
			less: []string{"pace: ipvs is read every 5m0s"}, more: []string{"pace: ipvs is read every 1m0s", "pace: nft is read every 1m0s"}},
		{name: "service-tcp-timeout", value: "1h", also: withIPVS, more: []string{"ipvs: --set 3600 0 0"}},
		{name: "service-tcpfin-timeout", value: "1m", also: withIPVS, more: []string{"ipvs: --set 0 60 0"}},
		{name: "service-udp-timeout", value: "1m", also: withIPVS, more: []string{"ipvs: --set 0 0 60"}},
		{name: "loadbalancer-ip-range", value: "203.0.113.0/24",
			less: []string{"remark: 203.0.113.5 ignored"}, more: []string{"nft: services-heads4 { 203.0.113.5 . tcp . 8080", "nft: policy-fronts4 { 203.0.113.0-203.0.113.255 }", "bgp: heldrangesdefinedset 203.0.113.0/24"}},
		{name: "loadbalancer-default-class", value: "false", also: "--run-loadbalancer " + withRange, less: []string{"balancer: service default/wish external-ip 203.0.113.1"},
			more: []string{"remark: no address is given: spec.loadBalancerClass is not set, and --loadbalancer-default-class is false"}},
		{name: "loadbalancer-sync-period", value: "20s", also: "--run-loadbalancer " + withRange,
			less: []string{"pace: balancer is read every 1m0s"}, more: []string{"pace: balancer is read every 20s"}},
	}
}

func policyEffects() []effect {
	return []effect{
		{name: "iptables-sync-period", value: "1m", less: []string{"pace: nft is read every 5m0s"}, more: []string{"pace: nft is read every 1m0s"}},
		{name: "netpol-default-deny", value: "true", also: "--run-router=false", more: []string{"nft: policy-range4 { 10.244.1.0-10.244.1.255 }", "nft: policy-unknown-from drop"}},
		{name: "use-nftables-for-netpol", value: "true", more: []string{"remark: --use-nftables-for-netpol: nftables is always used"}},
		{name: "netpol-judge-icmp-echo", value: "true", less: []string{"nft: policy-icmp4 icmp type 8 accept"}},
	}
}

func routeEffects() []effect {
	return []effect{
		{name: "node-routes", value: "api", less: []string{"bgp: neighbor 10.0.0.2 as 64512"}, more: []string{"rtnl: route 10.244.2.0/24 via 10.0.0.2 dev eth0 proto 17"}},
		{name: "enable-overlay", value: "false", also: withAPI,
			less: []string{"rtnl: link tun-c5838d617ce", "rtnl: rule 32763: from 10.244.1.0/24 lookup 77", "cni: mtu 1480", "cni has: 1480", "nft: tunnel-forward"},
			more: []string{"cni: mtu 1500", "remark: overlays are off; the network must route it"}},
		{name: "overlay-type", value: "full", also: withAPI,
			less: []string{"rtnl: route 10.244.2.0/24 via 10.0.0.2 dev eth0"}, more: []string{"rtnl: route 10.244.2.0/24 dev tun-cb5f37b4762"}},
		{name: "overlay-encap", value: "fou", also: withAPI,
			less: []string{"cni: mtu 1480", "cni has: 1480", "nft: meta l4proto 4 ip daddr @host-nodes4 jump tunnel-by"}, more: []string{"nft: udp th dport 5555 jump tunnel-here", "rtnl: fou port 5555 gue", "rtnl: tun-c5838d617ce mtu 1468 up type ipip remote 10.0.9.3 local 10.0.0.1 encap gue"}},
		{name: "overlay-encap", value: "vxlan", also: withAPI,
			less: []string{"rtnl: link tun-c5838d617ce", "cni: mtu 1480", "cni has: 1480", "nft: meta l4proto 4 ip daddr @host-nodes4 jump tunnel-by", "nft: iifname \"tun-*\""},
			more: []string{"nft: udp th dport 8472 jump tunnel-here", "nft: iifname \"kube-vxlan*\"", "rtnl: link kube-vxlan", "rtnl: route 10.244.3.0/24 via 10.0.9.3 dev kube-vxlan"}},
		{name: "overlay-encap-port", value: "6666", also: withAPI + " --overlay-encap=fou",
			less: []string{"rtnl: fou port 5555", "nft: udp th dport 5555 jump tunnel-here"}, more: []string{"nft: udp th dport 6666 jump tunnel-here", "rtnl: fou port 6666", "rtnl: encap-dport 6666"}},
		{name: "enable-pod-egress", value: "false", less: []string{"nft: add rule inet kube-router host-masquerade meta nfproto ipv4 ip saddr @host-pods4 ip daddr != @host-keep4 ip daddr != @host-nodes4 masquerade"}},
		{name: "pod-egress-exclude", value: "172.16.0.0/12", more: []string{"nft: host-keep4 { 172.16.0.0-172.31.255.255 }"}},
		{name: "cluster-cidr", value: "10.244.0.0/16", less: []string{"nft: host-keep4 { 10.244.3.0-10.244.3.255 }"}, more: []string{"nft: host-keep4 { 10.244.0.0-10.244.255.255 }"}},
		{name: "disable-source-dest-check", value: "false", same: []string{"bgp: global as 64512"}},
		{name: "routes-sync-period", value: "1m", less: []string{"pace: bgp is read every 5m0s"}, more: []string{"pace: bgp is read every 1m0s"}},
		{name: "injected-routes-sync-period", value: "30s", less: []string{"pace: rtnl is read every 1m0s"}, more: []string{"pace: rtnl is read every 30s"}},
		{name: "enable-cni", value: "false", less: []string{"nft: policy-range4", "cni: range 10.244.1.0/24", "cni has: kube-bridge"}},
		{name: "auto-mtu", value: "false", less: []string{"cni: mtu 1480", "cni has: 1480", "rtnl: link kube-bridge mtu 1480"}, more: []string{"rtnl: link kube-bridge up"}},
	}
}

func speakerEffects() []effect {
	const node = "bgp: neighbor 10.0.0.2 as 64512 local 10.0.0.1 port 179 hold-time 90 family ipv4 node n2"
	const held = node + " graceful-restart 90/1"
	const outside = "bgp: neighbor 10.0.0.254 as 65001 local 10.0.0.1 port 179 hold-time 90 family ipv4"
	const graceful = "--bgp-graceful-restart"
	return []effect{
		{name: "cluster-asn", value: "64600", less: []string{"bgp: global as 64512"}, more: []string{"bgp: global as 64600", "bgp: neighbor 10.0.0.2 as 64600"}},
		{name: "enable-ibgp", value: "false", less: []string{node}},
		{name: "nodes-full-mesh", value: "false", less: []string{node}, more: []string{"remark: with --nodes-full-mesh=false every node needs its AS number"}},
		{name: "ibgp-password-file", value: "testdata/surface/password", less: []string{node}, more: []string{held + " password (secret)"}},
		{name: "bgp-port", value: "1179", less: []string{"bgp: listen-port 179", "nft: services-own-ports { tcp . 179 }"}, more: []string{"nft: services-own-ports { tcp . 1179 }", "bgp: listen-port 1179", "bgp: neighbor 10.0.0.2 as 64512 local 10.0.0.1 port 1179"}},
		{name: "bgp-holdtime", value: "30s", less: []string{"bgp: port 179 hold-time 90"}, more: []string{"bgp: port 179 hold-time 30"}},
		{name: "bgp-graceful-restart", value: "true", also: withRouter, less: []string{outside}, more: []string{outside + " graceful-restart 90/1"}},
		{name: "bgp-graceful-restart-time", value: "60s", also: graceful, less: []string{node + " graceful-restart 90/1"}, more: []string{node + " graceful-restart 60/1"}},
		{name: "bgp-graceful-restart-deferral-time", value: "2m", also: graceful, given: "reflector.yaml",
			less: []string{node + " graceful-restart 90/360"}, more: []string{node + " graceful-restart 90/120"}},
		{name: "router-id", value: "192.0.2.1", less: []string{"bgp: router-id 10.0.0.1"}, more: []string{"bgp: router-id 192.0.2.1"}},
	}
}

func peerEffects() []effect {
	const router = "bgp: neighbor 10.0.0.254 as 65001 local 10.0.0.1 port 179 hold-time 90 family ipv4"
	const watched = router + " bfd port 3784 multiplier 3 tx 1000000us rx 1000000us"
	return []effect{
		{name: "override-nexthop", value: "true", also: withRouter, less: []string{"bgp: policy export"}, more: []string{"bgp: next-hop self"}},
		{name: "peer-router-ips", value: "10.0.0.254", pair: "--peer-router-asns=65001", more: []string{router, "bgp: externalpeerset 10.0.0.254/32"}},
		{name: "peer-router-asns", value: "65001", pair: "--peer-router-ips=10.0.0.254", more: []string{router}},
		{name: "peer-router-ports", value: "1179", also: withRouter, less: []string{router}, more: []string{"bgp: neighbor 10.0.0.254 as 65001 local 10.0.0.1 port 1179"}},
		{name: "peer-router-passwords", value: "aGlkZGVu", also: withRouter, less: []string{router}, more: []string{router + " password (secret)", "remark: everybody on the host can read a command line"}},
		{name: "peer-router-passwords-file", value: "testdata/surface/passwords", also: withRouter, less: []string{router}, more: []string{router + " password (secret)"}},
		{name: "peer-router-multihop-ttl", value: "5", also: withRouter, less: []string{router}, more: []string{router + " multihop-ttl 5"}},
		{name: "peer-router-prefix-limit", value: "300", also: withRouter, less: []string{router + " prefix-limit 10000"}, more: []string{router + " prefix-limit 300"}},
		{name: "peer-router-ttl-security", value: "2", also: withRouter, less: []string{router + " prefix-limit 10000"}, more: []string{router + " ttl-security 254"}},
		{name: "accept-default-route", value: "true", also: withRouter, less: []string{"bgp: defaultroutedefinedset 0.0.0.0/0"}},
		{name: "accept-prefixes", value: "10.0.0.0/24", also: withRouter, less: []string{"bgp: defined-set heldrangesdefinedset 10.0.0.0/24 24..32"}},
		{name: "enable-bfd", value: "true", also: withRouter, less: []string{router}, more: []string{watched, "bgp: node n2 graceful-restart 90/1 bfd port 3784", "nft: services-own-ports { udp . 3784 }", "nft: bfd-input meta l4proto udp th dport 3784 jump bfd-peers"}},
		{name: "bfd-port", value: "4784", also: withBFD, less: []string{watched}, more: []string{router + " bfd port 4784"}},
		{name: "bfd-detection-multiplier", value: "5", also: withBFD, less: []string{watched}, more: []string{router + " bfd port 3784 multiplier 5"}},
		{name: "bfd-desired-min-tx-interval", value: "300", also: withBFD, less: []string{watched}, more: []string{"bgp: tx 300000us rx 1000000us"}},
		{name: "bfd-required-min-rx-interval", value: "300", also: withBFD, less: []string{watched}, more: []string{"bgp: tx 1000000us rx 300000us"}},
		{name: "advertise-cluster-ip", value: "true", also: withRouter, more: []string{"bgp: path 10.96.0.10/32 nexthop 10.0.0.1", "bgp: servicevipsdefinedset 10.96.0.10/32"}},
		{name: "advertise-external-ip", value: "true", also: withRouter + " --service-external-ip-range=198.51.100.0/24", more: []string{"bgp: path 198.51.100.7/32 nexthop 10.0.0.1"}},
		{name: "advertise-loadbalancer-ip", value: "true", also: withRouter + " " + withRange, more: []string{"bgp: path 203.0.113.5/32 nexthop 10.0.0.1"}},
		{name: "advertise-pod-cidr", value: "false", also: withRouter, less: []string{"bgp: prefix podcidrdefinedset neighbor externalpeerset accept"}, more: []string{"bgp: policy export"}},
		{name: "advertise-pod-aggregate", value: "10.244.0.0/16", also: withRouter, less: []string{"bgp: policy export"}, more: []string{"bgp: path 10.244.0.0/16 nexthop 10.0.0.1", "rtnl: unreachable 10.244.0.0/16"}},
		{name: "advertise-service-ranges", value: "true", also: withRouter + " --advertise-cluster-ip",
			less: []string{"bgp: path 10.96.0.10/32"}, more: []string{"bgp: path 10.96.0.0/12 nexthop 10.0.0.1", "nft: host-refuse4 { 10.96.0.0-10.111.255.255 }"}},
		{name: "withdraw-on-cordon", value: "true", also: withRouter + " --advertise-cluster-ip", given: "cordoned.yaml", less: []string{"bgp: path 10.96.0.10/32 nexthop 10.0.0.1"}},
	}
}

// TestFlagsDoWhatTheySay plays the story with and without each flag.
func TestFlagsDoWhatTheySay(t *testing.T) {
	stories := told{}
	for _, e := range flagEffects() {
		t.Run(e.name+"="+e.value, func(t *testing.T) {
			before := stories.without(t, e.also, e.given)
			after := tell(t, strings.Fields(e.also+" "+e.pair+" --"+e.name+"="+e.value), e.given)[0]
			e.compare(t, before, after)
		})
	}
}

// TestEveryFlagIsShown: a flag is shown here, or in the test of the real process, or differs on purpose and the guide
// says why.
func TestEveryFlagIsShown(t *testing.T) {
	names := map[string]bool{}
	for _, f := range config.Table() {
		names[f.Name] = true
	}
	text, err := os.ReadFile(beside)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\n\t\t\{"([a-z0-9-]+)", `).FindAllStringSubmatch(string(text), -1) {
		if !names[m[1]] {
			t.Errorf("%s: %s is no flag, or has two homes", beside, m[1])
		}
		delete(names, m[1])
	}
	for name, path := range elsewhere() {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "--"+name) {
			t.Errorf("%s doesn't show --%s: %v", path, name, err)
		}
		delete(names, name)
	}
	for _, name := range unshown(names, flagEffects()) {
		t.Errorf("nothing shows what --%s does", name)
	}
}
