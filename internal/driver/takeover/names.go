package takeover

import (
	"slices"
	"strings"
)

// The programs whose leftovers are known.
const (
	kubeProxy  = "kube-proxy"
	kubeRouter = "kube-router v2"
)

// proxyChains are kube-proxy's chains with fixed names. KUBE-FIREWALL, KUBE-MARK-DROP, KUBE-KUBELET-CANARY and
// KUBE-IPTABLES-HINT are kubelet's and stay.
var proxyChains = []string{
	"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-FORWARD",
	"KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY", "KUBE-LOAD-BALANCER", "KUBE-NODE-PORT", "KUBE-SOURCE-RANGES-FIREWALL",
	"KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER",
}

// proxyPrefixes begin the names of kube-proxy's chains for one Service or endpoint; sixteen base32 digits follow.
var proxyPrefixes = []string{"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-SEP-", "KUBE-FW-", "KUBE-XLB-"}

// routerChains are v2's chains with fixed names, routerPrefixes begin those for one pod or policy.
var (
	routerChains = []string{
		"KUBE-ROUTER-INPUT", "KUBE-ROUTER-FORWARD", "KUBE-ROUTER-OUTPUT", "KUBE-ROUTER-SERVICES", "KUBE-ROUTER-HAIRPIN",
		"KUBE-NWPLCY-DEFAULT", "KUBE-NWPLCY-COMMON", "KUBE-NWPLCY-TAIL",
	}
	routerPrefixes = []string{"KUBE-POD-FW-", "KUBE-NWPLCY-"}
)

// chainOf tells whose a chain of iptables is; empty: a stranger's.
func chainOf(name string) string {
	switch {
	case slices.Contains(proxyChains, name), hashed(name, proxyPrefixes):
		return kubeProxy
	case slices.Contains(routerChains, name), hashed(name, routerPrefixes):
		return kubeRouter
	}
	return ""
}

// hashed tells whether a name is one of the prefixes and a hash as both programs make it.
func hashed(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		hash, ok := strings.CutPrefix(name, p)
		return ok && len(hash) == 16 && strings.Trim(hash, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
	})
}

// tableOf tells whose a table of nftables is.
func tableOf(name string, v6 bool) string {
	switch {
	case name == "kube-proxy":
		return kubeProxy
	case name == "kube-router-filter-ipv4" && !v6, name == "kube-router-filter-ipv6" && v6:
		return kubeRouter
	}
	return ""
}

// routerSets are v2's ipsets without the "inet6:" of their IPv6 twins.
var routerSets = []string{
	"kube-router-pod-subnets", "kube-router-node-ips", "kube-router-local-ips", "kube-router-svip",
	"kube-router-svip-prt", "kube-router-local-pods",
}

// proxySets are those of kube-proxy's IPVS mode; in IPv6 they begin with KUBE-6-.
var proxySets = []string{
	"KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL", "KUBE-LOAD-BALANCER",
	"KUBE-LOAD-BALANCER-LOCAL", "KUBE-LOAD-BALANCER-FW", "KUBE-LOAD-BALANCER-SOURCE-IP", "KUBE-LOAD-BALANCER-SOURCE-CIDR",
	"KUBE-NODE-PORT-TCP", "KUBE-NODE-PORT-LOCAL-TCP", "KUBE-NODE-PORT-UDP", "KUBE-NODE-PORT-LOCAL-UDP",
	"KUBE-NODE-PORT-SCTP-HASH", "KUBE-NODE-PORT-LOCAL-SCTP-HASH", "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-IPVS-IPS",
}

// setOf tells whose an ipset is.
func setOf(name string) string {
	plain := strings.TrimPrefix(name, "inet6:")
	switch {
	case slices.Contains(routerSets, plain), hashed(plain, []string{"KUBE-SRC-", "KUBE-DST-"}):
		return kubeRouter
	case slices.Contains(proxySets, strings.Replace(name, "KUBE-6-", "KUBE-", 1)):
		return kubeProxy
	}
	return ""
}

// routerComments are the comments of v2's rules in the kernel's own chains.
var routerComments = []string{
	"allow outbound traffic from pods", "allow inbound traffic to pods",
	"allow outbound node port traffic on node interface with which node ip is associated",
}

// The links that hold Services' addresses: kube-proxy's in IPVS mode, and ours.
const (
	proxyLink = "kube-ipvs0"
	ourLink   = "kube-dummy-if"
)
