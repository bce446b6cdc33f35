package operate

import (
	"os"
	"strings"
	"testing"
)

// web is a Service of every kind with endpoints here and on another node.
const web = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, clusterIP: 10.96.0.50, externalIPs: [203.0.113.7], externalTrafficPolicy: Local,
  healthCheckNodePort: 31999, loadBalancerSourceRanges: [172.31.77.0/24],
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}], selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: default}
spec: {clusterIP: 10.96.0.51, ports: [{port: 53, protocol: UDP}], selector: {app: nobody}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}, nodeName: n1}, {addresses: [10.244.2.6], conditions: {ready: true}, nodeName: n2}]
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 172.31.77.2}]}
---
apiVersion: v1
kind: Node
metadata: {name: n3}
spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.0/24]}
status: {addresses: [{type: InternalIP, address: 172.31.78.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: default}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: web}]}
status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}]}
`

// sticky is a Service whose rules nft 1.0.6 cannot list (docs/operating.md).
const sticky = `
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: default}
spec: {clusterIP: 10.96.0.52, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}], selector: {app: web}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sticky-1, namespace: default, labels: {kubernetes.io/service-name: sticky}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}}]
`

// strangers are things of others that look much like ours. They must survive everything.
const strangers = `
nft add table inet kube-router-of-mine
nft add chain inet kube-router-of-mine services-prerouting '{ type nat hook prerouting priority -105; }'
nft add table ip kube-routerx
iptables-nft -A INPUT -p tcp --dport 9999 -m comment --comment "kube-router is not ours" -j ACCEPT
iptables-nft -t nat -N KUBE-SERVICES-MINE
ip6tables-nft -A FORWARD -j ACCEPT
ip link add kube-mine type bridge
ip link add tun-mine0000000 type veth peer name mine1
ip addr add 192.0.2.9/32 dev lo
ip route add 198.51.100.0/24 via 172.31.77.2 proto bird
ip route add blackhole 198.51.101.0/24 proto static table 177
ip route add 198.51.102.0/24 dev eth0 proto 18
ip rule add from 198.51.100.0/24 lookup 177 priority 32700
ipset create mine hash:ip
ipset add mine 192.0.2.1
`

// conflist is a CNI file as an operator left it.
const conflist = `{"cniVersion":"1.0.0","name":"mynet","plugins":[{"name":"kubernetes","type":"bridge","bridge":"kube-bridge","isDefaultGateway":true,"ipam":{"type":"host-local"},"mine":1}]}
`

func everything(t *testing.T, more ...string) *node {
	t.Helper()
	n := newNode(t, append([]string{
		"--run-firewall=true", "--enable-ipv6", "--service-cluster-ip-range", "10.96.0.0/12,fd00:96::/112",
		"--service-external-ip-range", "203.0.113.0/24", "--overlay-encap", "vxlan", "--node-routes", "api",
		"--service-tcp-timeout", "1000s",
	}, more...)...)
	n.apply(web)
	n.sh(strangers)
	if !tool("iptables-legacy") {
		t.Fatal("iptables-legacy is missing")
	}
	n.check(os.WriteFile(n.path("cni/10-kuberouter.conflist"), []byte(conflist), 0o644))
	return n
}

// What cleanup leaves is what was there before the start, strangers included.
func TestCleanupLeavesTheNodeAsItWas(t *testing.T) {
	n := everything(t)
	before := n.state()
	n.start()
	during := n.state()
	for _, want := range []struct{ look, has string }{
		{"nft list ruleset", "table inet kube-router {"}, {"ip -d link show", "kube-bridge"}, {"ip -d link show", "kube-vxlan"},
		{"ip -4 route show table all", "10.244.2.0/24"}, {"ip -4 rule show", "lookup kube-router"},
		{n.path("cni/10-kuberouter.conflist"), "10.244.1.0/24"}, {"/proc/sys/net/ipv4/ip_forward", "1"},
	} {
		has := want.has
		if strings.HasPrefix(has, "lookup") {
			has = "10.244.1.0/24" // the table's name is the machine's to know
		}
		if !strings.Contains(during[want.look], has) {
			t.Errorf("while it runs %s shows no %s:\n%s", want.look, has, during[want.look])
		}
	}
	n.foreign(before, during)
	n.stop()
	n.foreign(before, n.state())
	n.apply(sticky)
	n.start() // again, on what the first life left
	n.stop()
	n.cleanup()
	same(t, "cleanup", before, n.state())
	n.cleanup()
	same(t, "second cleanup", before, n.state())
}

// foreign checks that every line that was there before is there still: routes, rules, links and sets of others.
func (n *node) foreign(before, now map[string]string) {
	n.t.Helper()
	for _, look := range []string{
		"ip -4 rule show", "ip -6 rule show", "ip -4 route show table all", "nft list ruleset", "iptables-nft-save",
		"ip6tables-nft-save", "iptables-legacy-save", "ipset save",
	} {
		for _, line := range strings.Split(before[look], "\n") {
			if !strings.Contains(now[look], line) {
				n.t.Errorf("%s: a stranger's line is gone: %s", look, line)
			}
		}
	}
}

// A node on which the daemon never ran is not touched by cleanup.
func TestCleanupOfNothing(t *testing.T) {
	n := everything(t)
	before := n.state()
	n.cleanup()
	same(t, "cleanup", before, n.state())
}

// TestCleanupUnderPods says what pods lose, and leaves them connected where that is asked for; without it all goes.
func TestCleanupUnderPods(t *testing.T) {
	n := newNode(t, "--node-routes=api")
	n.apply("{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.2.0/24]}, status: {addresses: [{type: InternalIP, address: " + outsideIP.String() + "}]}}")
	n.start()
	n.sh("ip link add pod0 type veth peer name pod1; ip link set pod0 master kube-bridge")
	n.stop()
	// /sys is that of the network namespace which mounts it, as a container's is.
	cleaned := func(more ...string) string {
		return n.run("unshare", append(append([]string{"-m", "bash", "-c", `mount -t sysfs sysfs /sys && exec "$@"`, "x", bin, "cleanup"}, more...), n.flags()...)...)
	}
	has := func(kept bool) {
		t.Helper()
		text := n.sh("ip -o link; ip route; nft list ruleset; sysctl net.ipv4.ip_forward")
		for _, s := range []string{"kube-bridge", "10.244.2.0/24"} {
			if strings.Contains(text, s) != kept {
				t.Errorf("%s: want it to be there %v:\n%s", s, kept, text)
			}
		}
		if strings.Contains(text, "table inet kube-router") {
			t.Errorf("rules are left:\n%s", text)
		}
	}
	if text := cleaned("--keep-pods"); !strings.Contains(text, "they keep their connection") {
		t.Errorf("it says:\n%s", text)
	}
	has(true)
	if text := cleaned(); !strings.Contains(text, "they lose their network altogether") {
		t.Errorf("it says:\n%s", text)
	}
	has(false)
}
