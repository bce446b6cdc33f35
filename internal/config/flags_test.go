package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kube-router/internal/model"
)

// reference is kube-router v2.11's command line, written from its documentation: name, type, default.
const reference = `
kubeconfig string
master string
hostname-override string
cache-sync-timeout duration 1m
v string 0
version bool false
help bool false
cleanup-config bool false
enable-pprof bool false
health-addr string
health-port uint16 20244
metrics-addr string
metrics-port uint16 0
metrics-path string /metrics
runtime-endpoint string
run-router bool true
run-firewall bool true
run-service-proxy bool true
run-loadbalancer bool false
enable-ipv4 bool true
enable-ipv6 bool false
ipvs-sync-period duration 5m
ipvs-graceful-termination bool false
ipvs-graceful-period duration 30s
ipvs-permit-all bool true
masquerade-all bool false
hairpin-mode bool false
nodeport-bindon-all-ip bool false
excluded-cidrs strings
service-cluster-ip-range strings 10.96.0.0/12
service-external-ip-range strings
service-node-port-range string 30000-32767
strict-external-ip-validation bool true
service-tcp-timeout duration 0s
service-tcpfin-timeout duration 0s
service-udp-timeout duration 0s
iptables-sync-period duration 5m
netpol-default-deny bool false
use-nftables-for-netpol bool false
advertise-cluster-ip bool false
advertise-external-ip bool false
advertise-loadbalancer-ip bool false
advertise-pod-cidr bool true
cluster-asn uint 0
nodes-full-mesh bool true
enable-ibgp bool true
override-nexthop bool false
bgp-port uint32 179
bgp-holdtime duration 90s
bgp-graceful-restart bool false
bgp-graceful-restart-time duration 90s
bgp-graceful-restart-deferral-time duration 6m
peer-router-ips ipSlice
peer-router-asns uints
peer-router-ports uints
peer-router-passwords strings
peer-router-passwords-file string
peer-router-multihop-ttl uint8 0
enable-bfd bool false
bfd-port uint32 3784
bfd-detection-multiplier uint32 3
bfd-desired-min-tx-interval uint32 1000
bfd-required-min-rx-interval uint32 1000
router-id string
gobgp-admin-address string 127.0.0.1
gobgp-admin-port uint16 50051
routes-sync-period duration 5m
injected-routes-sync-period duration 60s
enable-overlay bool true
overlay-type string subnet
overlay-encap string ipip
overlay-encap-port uint16 5555
enable-pod-egress bool true
enable-cni bool true
auto-mtu bool true
disable-source-dest-check bool true
loadbalancer-ip-range strings
loadbalancer-default-class bool true
loadbalancer-sync-period duration 1m
`

func TestReferenceFlags(t *testing.T) {
	have := map[string]Flag{}
	for _, f := range Table() {
		have[f.Name] = f
	}
	lines := strings.Split(strings.TrimSpace(reference), "\n")
	if len(lines) != 79 {
		t.Fatalf("the reference has 79 flags, this test %d", len(lines))
	}
	for _, line := range lines {
		want := append(strings.Fields(line), "")
		f := have[want[0]]
		if f.Name != want[0] || f.Type != want[1] || f.Default != want[2] || f.Ours {
			t.Errorf("want %q, have %s %s %q (ours: %v)", line, f.Name, f.Type, f.Default, f.Ours)
		}
		delete(have, want[0])
	}
	for name, f := range have {
		if !f.Ours {
			t.Errorf("%s is not in the reference", name)
		}
	}
}

func cidrs(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// flagCase is one flag: a value with what it changes in the default options, and values to be refused.
type flagCase struct {
	flag  string
	also  string // other flags that the value needs, separated by spaces
	value string
	want  func(*Options)
	bad   []string
}

func flagCases() []flagCase {
	return append(append(append(processCases(), serviceCases()...), routeCases()...), append(append(bgpCases(), wireCases()...), flowCases()...)...)
}

var (
	badBool     = []string{"yes", "", "2"}
	badPeriod   = []string{"0", "-1s", "5", "", "x"}
	badDuration = []string{"-1s", "5", "", "x"}
	badCIDR     = []string{"10.0.0.0", "10.0.0.0/33", "x", "::ffff:10.0.0.0/104", "10.0.0.0/8,x"}
	badPort16   = []string{"-1", "65536", "", "x", "1.5"}
)

func processCases() []flagCase {
	return []flagCase{
		{"kubeconfig", "", "/k", func(o *Options) { o.Kubeconfig = "/k" }, nil},
		{"master", "", "https://a:6443", func(o *Options) { o.Master = "https://a:6443" }, nil},
		{"hostname-override", "", "n2.example", func(o *Options) { o.Settings.Node, o.Settings.Allocator.Identity = "n2.example", "n2.example" }, []string{"N2", "a_b", "-a", "a."}},
		{"cache-sync-timeout", "", "5s", func(o *Options) { o.CacheSyncTimeout = 5 * time.Second }, badPeriod},
		{"v", "", "3", func(o *Options) { o.Verbosity = 3 }, []string{"-1", "11", "", "x"}},
		{"version", "", "true", func(o *Options) { o.Version = true }, badBool},
		{"help", "", "true", func(o *Options) { o.Help = true }, badBool},
		{"cleanup-config", "", "1", func(o *Options) { o.Cleanup = true }, badBool},
		{"keep-pods", "", "true", func(o *Options) { o.KeepPods = true }, badBool},
		{"foreign-forward-accept", "", "false", func(o *Options) { o.Settings.Accept = false }, badBool},
		{"take-over", "", "true", func(o *Options) { o.Settings.TakeOver = true }, badBool},
		{"enable-pprof", "", "true", func(o *Options) { o.Pprof = "127.0.0.1:6060" }, badBool},
		{"health-addr", "", "::1", func(o *Options) { o.Health = "[::1]:20244" }, []string{"x", "1.2.3", "fe80::1%eth0"}},
		{"health-port", "", "0", func(o *Options) { o.Health, o.Settings.Listens = "", nil }, badPort16},
		{"metrics-addr", "--metrics-port=8080", "10.0.0.1", func(o *Options) { o.Metrics, o.Settings.Listens = "10.0.0.1:8080", []model.Port{20244, 8080} }, []string{"x"}},
		{"metrics-port", "", "8080", func(o *Options) { o.Metrics, o.Settings.Listens = ":8080", []model.Port{20244, 8080} }, append([]string{"20244"}, badPort16...)},
		{"metrics-path", "", "/m", func(o *Options) { o.MetricsPath = "/m" }, []string{"", "m", "/{x}"}},
		{"control-socket", "", "/run/c", func(o *Options) { o.ControlSocket = "/run/c" }, []string{"", "c", "/" + strings.Repeat("x", 107), "/run/kube-router/cni.sock"}},
		{"cni-plugin", "", "own", func(o *Options) { o.Settings.CNI.Plugin = model.PluginOwn }, []string{"", "bridge", "true"}},
		{"cni-socket", "", "/run/c", func(o *Options) { o.Settings.CNI.Socket = "/run/c" }, []string{"", "c"}},
		{"run-router", "", "false", func(o *Options) { o.Settings.Router = false }, badBool},
		{"run-firewall", "", "false", func(o *Options) { o.Settings.Firewall = false }, badBool},
		{"run-service-proxy", "", "false", func(o *Options) { o.Settings.Proxy = false }, badBool},
		{"run-loadbalancer", "--loadbalancer-ip-range=10.9.0.0/24", "true", func(o *Options) { o.Settings.Balancer, o.Settings.Allocator.Ranges = true, cidrs("10.9.0.0/24") }, badBool},
		{"run-egress", "", "true", func(o *Options) { o.Settings.Gateways = true }, badBool},
		{"enable-ipv4", "--enable-ipv6 --service-cluster-ip-range=fd00::/112", "false", func(o *Options) {
			o.Settings.IPv4, o.Settings.IPv6, o.Settings.Services.ClusterRanges = false, true, cidrs("fd00::/112")
			o.Settings.Services.ClusterGiven = true
		}, badBool},
		{"enable-ipv6", "", "true", func(o *Options) { o.Settings.IPv6 = true }, badBool},
		{"iptables-sync-period", "", "1m", func(o *Options) { o.Settings.Policy.SyncPeriod = time.Minute }, badPeriod},
		{"netpol-default-deny", "", "true", func(o *Options) { o.Settings.Policy.DefaultDeny = true }, badBool},
		{"use-nftables-for-netpol", "", "true", func(*Options) {}, badBool},
		{"netpol-judge-icmp-echo", "", "true", func(o *Options) { o.Settings.Policy.JudgeEcho = true }, badBool},
		{"netpol-keep-established", "", "true", func(o *Options) { o.Settings.Policy.KeepFlows = true }, badBool},
		{"cluster-domain", "", "Corp.Example.", func(o *Options) { o.Settings.Policy.Names.Domain = "corp.example" }, []string{"", "-a", "a..b", "a b"}},
		{"policy-names-servers", "", "10.0.0.53, dns/resolver", func(o *Options) {
			o.Settings.Policy.Names.Resolvers = []netip.Addr{netip.MustParseAddr("10.0.0.53")}
			o.Settings.Policy.Names.Services = []model.Name{{Namespace: "dns", Name: "resolver"}}
		}, []string{"dns", "0.0.0.0", "a/b/c", "224.0.0.1", "A/b"}},
		{"policy-names-min-ttl", "", "5s", func(o *Options) { o.Settings.Policy.Names.Least = 5 * time.Second }, []string{"0s", "-1s", "25h", "x"}},
		{"policy-names-grace", "", "0s", func(o *Options) { o.Settings.Policy.Names.Grace = 0 }, []string{"-1s", "25h", "x"}},
		{"enable-cni", "", "false", func(o *Options) { o.Settings.CNI.Enabled = false }, badBool},
		{"auto-mtu", "", "false", func(o *Options) { o.Settings.CNI.AutoMTU = false }, badBool},
		{"loadbalancer-ip-range", "", "10.9.0.0/24,10.8.0.7/24", func(o *Options) { o.Settings.Allocator.Ranges = cidrs("10.9.0.0/24", "10.8.0.0/24") }, append([]string{"fd00::/64"}, badCIDR...)},
		{"loadbalancer-default-class", "", "false", func(o *Options) { o.Settings.Allocator.DefaultClass = false }, badBool},
		{"loadbalancer-sync-period", "", "2m", func(o *Options) { o.Settings.Allocator.SyncPeriod = 2 * time.Minute }, badPeriod},
	}
}

func serviceCases() []flagCase {
	on := func(change func(*model.ServiceSettings)) func(*Options) {
		return func(o *Options) { change(&o.Settings.Services) }
	}
	return []flagCase{
		{"service-proxy-engine", "", "nftables", on(func(s *model.ServiceSettings) { s.Engine = model.EngineNftables }), []string{"", "iptables", "IPVS"}},
		{"socket-lb", "", "pods", func(o *Options) { o.Settings.Socket.Mode = model.SocketPods }, []string{"", "on", "true"}},
		{"cgroup-root", "", "/host/cgroup", func(o *Options) { o.Settings.Socket.CgroupRoot = "/host/cgroup" }, nil},
		{"bpf-root", "", "/host/bpf", func(o *Options) { o.Settings.Socket.BPFRoot = "/host/bpf" }, nil},
		{"service-cluster-ip-range", "", "10.0.0.0/16,10.1.0.0/16", on(func(s *model.ServiceSettings) {
			s.ClusterRanges, s.ClusterGiven = cidrs("10.0.0.0/16", "10.1.0.0/16"), true
		}), append([]string{"fd00::/112", "10.0.0.0/16,10.1.0.0/16,10.2.0.0/16"}, badCIDR...)},
		{"service-external-ip-range", "", "10.0.0.0/16", on(func(s *model.ServiceSettings) { s.ExternalRanges = cidrs("10.0.0.0/16") }), append([]string{"fd00::/112"}, badCIDR...)},
		{"service-node-port-range", "", "20000:20010", on(func(s *model.ServiceSettings) { s.NodePortFirst, s.NodePortLast = 20000, 20010 }), []string{"", "1", "5-5", "6-5", "0-5", "1-65536", "1-2-3", "a-b", "1,2"}},
		{"strict-external-ip-validation", "", "false", on(func(s *model.ServiceSettings) { s.StrictExternal = false }), badBool},
		{"nodeport-bindon-all-ip", "", "true", on(func(s *model.ServiceSettings) { s.NodePortAll = true }), badBool},
		{"nodeport-addresses", "", "10.0.0.0/8,fd00::/8", on(func(s *model.ServiceSettings) { s.NodePortAddresses = cidrs("10.0.0.0/8", "fd00::/8") }), badCIDR},
		{"masquerade-all", "", "true", on(func(s *model.ServiceSettings) { s.MasqueradeAll = true }), badBool},
		{"hairpin-mode", "", "true", on(func(s *model.ServiceSettings) { s.Hairpin = true }), badBool},
		{"excluded-cidrs", "", "10.0.0.0/8", on(func(s *model.ServiceSettings) { s.Excluded = cidrs("10.0.0.0/8") }), badCIDR},
		{"ipvs-permit-all", "", "false", on(func(s *model.ServiceSettings) { s.PermitAll = false }), badBool},
		{"ipvs-graceful-termination", "", "true", on(func(s *model.ServiceSettings) { s.Graceful = true }), badBool},
		{"ipvs-graceful-period", "", "1m", on(func(s *model.ServiceSettings) { s.GracePeriod = time.Minute }), badDuration},
		{"ipvs-sync-period", "", "1m", on(func(s *model.ServiceSettings) { s.SyncPeriod = time.Minute }), badPeriod},
		{"service-tcp-timeout", "", "1h", on(func(s *model.ServiceSettings) { s.TCPTimeout = time.Hour }), badDuration},
		{"service-tcpfin-timeout", "", "1m", on(func(s *model.ServiceSettings) { s.TCPFinTimeout = time.Minute }), badDuration},
		{"service-udp-timeout", "", "1m", on(func(s *model.ServiceSettings) { s.UDPTimeout = time.Minute }), badDuration},
		{"runtime-endpoint", "", "unix:///run/c.sock", on(func(s *model.ServiceSettings) { s.RuntimeEndpoint = "unix:///run/c.sock" }), nil},
	}
}

func routeCases() []flagCase {
	on := func(change func(*model.RouteSettings)) func(*Options) {
		return func(o *Options) { change(&o.Settings.Routes) }
	}
	return []flagCase{
		{"node-routes", "", "api", on(func(r *model.RouteSettings) { r.Source = "api" }), []string{"", "BGP", "x"}},
		{"enable-overlay", "", "false", on(func(r *model.RouteSettings) { r.Overlay = false }), badBool},
		{"overlay-type", "", "full", on(func(r *model.RouteSettings) { r.OverlayType = "full" }), []string{"", "Full", "none"}},
		{"overlay-encap", "", "vxlan", on(func(r *model.RouteSettings) { r.OverlayEncap = "vxlan" }), []string{"", "gre"}},
		{"overlay-encap-port", "", "1024", on(func(r *model.RouteSettings) { r.OverlayPort = 1024 }), append([]string{"0", "1023"}, badPort16...)},
		{"enable-pod-egress", "", "false", on(func(r *model.RouteSettings) { r.PodEgress = false }), badBool},
		{"pod-egress-exclude", "", "10.0.0.0/8", on(func(r *model.RouteSettings) { r.EgressExclude = cidrs("10.0.0.0/8") }), badCIDR},
		{"cluster-cidr", "", "10.32.0.0/12", on(func(r *model.RouteSettings) { r.ClusterCIDRs = cidrs("10.32.0.0/12") }), badCIDR},
		{"disable-source-dest-check", "", "false", on(func(r *model.RouteSettings) { r.SourceDestCheck = true }), badBool},
		{"routes-sync-period", "", "1m", on(func(r *model.RouteSettings) { r.SyncPeriod = time.Minute }), badPeriod},
		{"injected-routes-sync-period", "", "1m30s", on(func(r *model.RouteSettings) { r.InjectedPeriod = 90 * time.Second }), badPeriod},
		{"withdraw-on-cordon", "", "true", on(func(r *model.RouteSettings) { r.DrainUnscheduled = true }), badBool},
	}
}

func bgpCases() []flagCase {
	on := func(change func(*model.BGPSettings)) func(*Options) {
		return func(o *Options) { change(&o.Settings.BGP) }
	}
	router := model.Peer{Addr: netip.MustParseAddr("10.0.0.1"), ASN: 64513, Port: 179}
	peer := func(change func(*model.Peer)) func(*Options) {
		p := router
		change(&p)
		return on(func(b *model.BGPSettings) { b.Peers = []model.Peer{p} })
	}
	bfd := func(change func(*model.BFD)) func(*Options) {
		v := &model.BFD{Port: 3784, Multiplier: 3, MinTx: time.Second, MinRx: time.Second}
		change(v)
		return on(func(b *model.BGPSettings) { b.BFD = v })
	}
	const with = "--peer-router-ips=10.0.0.1 --peer-router-asns=64513"
	graceful := func(b *model.BGPSettings) { b.GracefulRestart = true }
	return []flagCase{
		{"cluster-asn", "", "4200000000", on(func(b *model.BGPSettings) { b.ASN = 4200000000 }), []string{"1", "64511", "65536", "4199999999", "4294967295", "", "x"}},
		{"enable-ibgp", "", "false", on(func(b *model.BGPSettings) { b.IBGP = false }), badBool},
		{"nodes-full-mesh", "", "false", on(func(b *model.BGPSettings) { b.FullMesh = false }), badBool},
		{"ibgp-password-file", "", "/secret", on(func(b *model.BGPSettings) { b.IBGPPassword = "hidden" }), []string{"/nowhere", "/empty", "/long"}},
		{"override-nexthop", "", "true", on(func(b *model.BGPSettings) { b.OverrideNextHop = true }), badBool},
		{"bgp-port", "", "1179", on(func(b *model.BGPSettings) { b.Port = 1179 }), append([]string{"0"}, badPort16...)},
		{"bgp-holdtime", "", "3s", on(func(b *model.BGPSettings) { b.HoldTime = 3 * time.Second }), []string{"2.9s", "65536s", "", "90"}},
		{"bgp-graceful-restart", "", "true", on(graceful), badBool},
		{"bgp-graceful-restart-time", "--bgp-graceful-restart", "4095s", on(func(b *model.BGPSettings) { graceful(b); b.RestartTime = 4095 * time.Second }), []string{"0s", "4096s", "x"}},
		{"bgp-graceful-restart-deferral-time", "--bgp-graceful-restart", "18h", on(func(b *model.BGPSettings) { graceful(b); b.DeferralTime = 18 * time.Hour }), []string{"0s", "18h1s", "x"}},
		{"router-id", "", "10.0.0.9", on(func(b *model.BGPSettings) { b.RouterID = "10.0.0.9" }), []string{"x", "::1", "0.0.0.0", "Generate"}},
		{"gobgp-admin-address", "", "", on(func(*model.BGPSettings) {}), []string{"x", "localhost"}},
		{"gobgp-admin-port", "", "0", on(func(b *model.BGPSettings) { b.AdminPort = 0 }), badPort16},
		{"peer-router-ips", "--peer-router-asns=64513", "10.0.0.1", peer(func(*model.Peer) {}), []string{"x", "10.0.0.0/8", "10.0.0.1,10.0.0.2", "0.0.0.0", "224.0.0.1", ""}},
		{"peer-router-asns", "--peer-router-ips=10.0.0.1", "64513", peer(func(*model.Peer) {}), []string{"x", "0", "23456", "65535", "131071", "4294967295", "64513,64514", ""}},
		{"peer-router-asns", "--peer-router-ips=10.0.0.1", "3320", peer(func(p *model.Peer) { p.ASN = 3320 }), nil},
		{"peer-router-prefix-limit", "", "300", on(func(b *model.BGPSettings) { b.PeerLimit = 300 }), []string{"x", "-1", "2147483648"}},
		{"peer-router-ttl-security", with, "1", peer(func(p *model.Peer) { p.Hops = 1 }), []string{"x", "-1", "255"}},
		{"accept-default-route", "", "true", on(func(b *model.BGPSettings) { b.AcceptDefault = true }), []string{"x"}},
		{"accept-prefixes", "", "10.1.2.3/8,fd00::/8", on(func(b *model.BGPSettings) { b.Accept = cidrs("10.0.0.0/8", "fd00::/8") }), []string{"x", "10.0.0.1"}},
		{"peer-router-ports", with, "1179", peer(func(p *model.Peer) { p.Port = 1179 }), []string{"x", "0", "65536", "1,2"}},
		{"peer-router-passwords", with, "aGlkZGVu", peer(func(p *model.Peer) { p.Password = "hidden" }), []string{"#", "aGlkZGVu,aGlkZGVu", strings.Repeat("aaaa", 27)}},
		{"peer-router-passwords-file", with, "/passwords", peer(func(p *model.Peer) { p.Password = "hidden" }), []string{"/nowhere", "/secret"}},
		{"peer-router-multihop-ttl", with, "5", peer(func(p *model.Peer) { p.Multihop = 5 }), []string{"x", "-1", "256"}},
		{"enable-bfd", "", "true", bfd(func(*model.BFD) {}), badBool},
		{"bfd-port", "--enable-bfd", "4784", bfd(func(b *model.BFD) { b.Port = 4784 }), append([]string{"0"}, badPort16...)},
		{"bfd-detection-multiplier", "--enable-bfd", "255", bfd(func(b *model.BFD) { b.Multiplier = 255 }), []string{"0", "256", "x"}},
		{"bfd-desired-min-tx-interval", "--enable-bfd", "300", bfd(func(b *model.BFD) { b.MinTx = 300 * time.Millisecond }), []string{"0", "4294968", "x"}},
		{"bfd-required-min-rx-interval", "--enable-bfd", "4294967", bfd(func(b *model.BFD) { b.MinRx = 4294967 * time.Millisecond }), []string{"0", "4294968", "x"}},
		{"advertise-cluster-ip", "", "true", on(func(b *model.BGPSettings) { b.AdvertiseCluster = true }), badBool},
		{"advertise-external-ip", "", "true", on(func(b *model.BGPSettings) { b.AdvertiseExternal = true }), badBool},
		{"advertise-loadbalancer-ip", "", "true", on(func(b *model.BGPSettings) { b.AdvertiseLB = true }), badBool},
		{"advertise-pod-cidr", "", "false", on(func(b *model.BGPSettings) { b.AdvertisePodCIDR = false }), badBool},
		{"advertise-pod-aggregate", "", "10.0.0.0/8", on(func(b *model.BGPSettings) { b.AggregatePodCIDRs = cidrs("10.0.0.0/8") }), badCIDR},
		{"advertise-service-ranges", "", "true", on(func(b *model.BGPSettings) { b.AggregateServices = true }), badBool},
	}
}

func caseHost() host {
	return host{
		env: map[string]string{"NODE_NAME": "n1", "POD_NAMESPACE": "kube-system"},
		files: map[string]string{
			"/secret":    "hidden\n",
			"/empty":     "\n",
			"/long":      strings.Repeat("x", 81),
			"/passwords": "aGlkZGVu\n",
		},
	}
}

// same compares options, addresses as values and secrets as text.
func same() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmpopts.IgnoreFields(Options{}, "Remarks", "Said"),
	}
}

func TestEachFlag(t *testing.T) {
	untested := map[string]bool{}
	for _, f := range Table() {
		untested[f.Name] = true
	}
	delete(untested, "config") // the file has tests of its own
	for _, c := range flagCases() {
		delete(untested, c.flag)
		t.Run(c.flag, func(t *testing.T) {
			want, err := parse(t, caseHost())
			if err != nil {
				t.Fatal(err)
			}
			c.want(want)
			have, err := parse(t, caseHost(), c.args(c.value)...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, have, same()); d != "" {
				t.Errorf("--%s=%s (-want +have):\n%s", c.flag, c.value, d)
			}
			for _, bad := range c.bad {
				c.refuse(t, bad)
			}
		})
	}
	for name := range untested {
		t.Errorf("--%s has no case", name)
	}
}

func (c flagCase) args(value string) []string {
	return append(strings.Fields(c.also), "--"+c.flag+"="+value)
}

// refuse expects a fault that names the flag, and the value unless it is secret or only its count is wrong.
func (c flagCase) refuse(t *testing.T, value string) {
	t.Helper()
	_, err := parse(t, caseHost(), c.args(value)...)
	switch {
	case err == nil:
		t.Errorf("--%s=%s is accepted", c.flag, value)
	case c.flag == "peer-router-passwords" && strings.Contains(err.Error(), value):
		t.Errorf("--%s: the fault tells the secret: %v", c.flag, err)
	case c.flag == "control-socket" || strings.HasPrefix(c.flag, "peer-router-"):
	case !strings.Contains(err.Error(), "--"+c.flag+` "`):
		t.Errorf("--%s=%s: the fault doesn't name the flag: %v", c.flag, value, err)
	}
}
