package operate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab/probe"
)

// proxyLeft is what kube-proxy in iptables mode made for the Service web; it serves until we do.
const proxyLeft = `
iptables-nft -t nat -N KUBE-SERVICES
iptables-nft -t nat -N KUBE-POSTROUTING
iptables-nft -t nat -N KUBE-MARK-MASQ
iptables-nft -t nat -N KUBE-SVC-TCOU7JCQXEZGVUNU
iptables-nft -t nat -N KUBE-SEP-ABCDEFGH23456723
iptables-nft -t nat -N KUBE-SEP-ABCDEFGH23456724
iptables-nft -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables-nft -t nat -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables-nft -t nat -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
iptables-nft -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
iptables-nft -t nat -A KUBE-POSTROUTING -j MASQUERADE
iptables-nft -t nat -A KUBE-SERVICES -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-TCOU7JCQXEZGVUNU
iptables-nft -t nat -A KUBE-SVC-TCOU7JCQXEZGVUNU ! -s 10.244.0.0/16 -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
iptables-nft -t nat -A KUBE-SVC-TCOU7JCQXEZGVUNU -m statistic --mode random --probability 0.5 -j KUBE-SEP-ABCDEFGH23456723
iptables-nft -t nat -A KUBE-SVC-TCOU7JCQXEZGVUNU -j KUBE-SEP-ABCDEFGH23456724
iptables-nft -t nat -A KUBE-SEP-ABCDEFGH23456723 -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080
iptables-nft -t nat -A KUBE-SEP-ABCDEFGH23456724 -p tcp -m tcp -j DNAT --to-destination 10.244.1.6:8080
`

// routerLeft is what kube-router v2's firewall and routing made.
const routerLeft = `
ipset create kube-router-pod-subnets hash:net timeout 0
ipset add kube-router-pod-subnets 10.244.1.0/24
ipset create kube-router-node-ips hash:ip timeout 0
ipset add kube-router-node-ips 172.31.77.1
iptables-nft -t nat -A POSTROUTING -m set --match-set kube-router-pod-subnets src -m set ! --match-set kube-router-pod-subnets dst -m set ! --match-set kube-router-node-ips dst -j MASQUERADE
iptables-nft -N KUBE-ROUTER-FORWARD
iptables-nft -N KUBE-POD-FW-5XQ2CPX5XY2XNPPM
iptables-nft -N KUBE-NWPLCY-COMMON
iptables-nft -I FORWARD 1 -m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD
iptables-nft -A FORWARD -i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT
iptables-nft -A KUBE-ROUTER-FORWARD -d 10.244.1.5 -j KUBE-POD-FW-5XQ2CPX5XY2XNPPM
iptables-nft -A KUBE-POD-FW-5XQ2CPX5XY2XNPPM -j KUBE-NWPLCY-COMMON
iptables-nft -A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
ip rule add from 10.244.1.0/24 lookup 77
nft add table ip kube-router-filter-ipv4
nft add table ip kube-proxy
nft add chain ip kube-proxy nat-prerouting '{ type nat hook prerouting priority -100; }'
`

// mine is what must be there before and after.
const mine = `
iptables-nft -A INPUT -p tcp --dport 9999 -m comment --comment "not theirs" -j ACCEPT
iptables-nft -t nat -N KUBE-SERVICES-MINE
iptables-nft -N KUBE-FIREWALL
iptables-nft -A OUTPUT -j KUBE-FIREWALL
ipset create mine hash:ip
nft add table inet mine
`

// serving is a node with the Service web and two pods behind it.
func serving(t *testing.T, more ...string) *node {
	t.Helper()
	n := newNode(t, append([]string{"--run-firewall=false", "--enable-overlay=false", "--node-routes", "api", "--enable-cni=false"}, more...)...)
	n.pod("web-1", netip.MustParseAddr("10.244.1.5"))
	n.pod("web-2", netip.MustParseAddr("10.244.1.6"))
	n.check(n.space.Sysctl("net.ipv4.ip_forward=1"))
	n.apply(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.50, ports: [{port: 80, targetPort: 8080}], selector: {app: web}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}}, {addresses: [10.244.1.6], conditions: {ready: true}}]
`)
	return n
}

// load asks the Service all the time until it is told to stop, and then tells what came of it.
func (n *node) load(rate int) func() *probe.Tally {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var tally *probe.Tally
	var err error
	done.Go(func() {
		q := probe.Request{To: netip.MustParseAddrPort("10.96.0.50:80"), Timeout: 5 * time.Second}
		tally, err = probe.Load(ctx, n.outside.Do, q, rate, 8)
	})
	n.t.Cleanup(cancel)
	return func() *probe.Tally {
		n.t.Helper()
		cancel()
		done.Wait()
		n.check(err)
		return tally
	}
}

const leavings = "iptables-nft-save; ip6tables-nft-save; ipset save; nft list tables; ip rule"

// theirs are words of which none is left after a take-over.
var theirs = []string{
	"KUBE-SVC-", "KUBE-SEP-", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "service portals", "KUBE-ROUTER-", "KUBE-POD-FW-", "KUBE-NWPLCY",
	"kube-router-pod-subnets", "kube-router-node-ips", "outbound traffic", "kube-router-filter-ipv4", "table ip kube-proxy",
}

// The leftovers carry the traffic until ours does, and no connection fails while they go.
func TestTakeOverUnderLoad(t *testing.T) {
	n := serving(t, "--take-over")
	n.sh(mine)
	n.sh(proxyLeft)
	n.sh(routerLeft)
	n.eventually("served by the leftovers", func() error {
		tally, err := probe.Many(n.outside.Do, probe.Request{To: netip.MustParseAddrPort("10.96.0.50:80")}, 10, 2)
		if err != nil || !tally.OK() {
			return fmt.Errorf("%v %v", tally, err)
		}
		return nil
	})
	stop := n.load(200)
	time.Sleep(time.Second)
	n.start()
	n.eventually("without leftovers", func() error {
		text := n.sh(leavings)
		for _, w := range theirs {
			if strings.Contains(text, w) {
				return fmt.Errorf("%s is there:\n%s", w, text)
			}
		}
		return nil
	})
	time.Sleep(time.Second)
	tally := stop()
	t.Logf("while the node was taken over: %s", tally)
	if !tally.OK() || tally.Total < 200 {
		t.Errorf("connections failed: %s", tally)
	}
	text := n.sh(leavings)
	for _, w := range []string{"not theirs", "KUBE-SERVICES-MINE", "-A OUTPUT -j KUBE-FIREWALL", "create mine", "table inet mine"} {
		if !strings.Contains(text, w) {
			t.Errorf("a stranger's %q is gone", w)
		}
	}
	if log := n.log.String(); !strings.Contains(log, "taking over") {
		t.Error("the log doesn't tell of it")
	}
}

// Without --take-over others' things stay, and the operator is told.
func TestLeftoversStayUnlessTold(t *testing.T) {
	n := serving(t)
	n.sh(proxyLeft)
	before := n.sh(leavings)
	n.start()
	n.eventually("told", func() error {
		if log := n.log.String(); !strings.Contains(log, "--take-over removes them") {
			return fmt.Errorf("%s", log)
		}
		return nil
	})
	n.stop()
	after := n.sh(leavings)
	for _, line := range strings.Split(before, "\n") {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") && !strings.Contains(after, line) {
			t.Errorf("gone: %s", line)
		}
	}
}
