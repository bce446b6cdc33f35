//go:build guest

package operate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab/probe"
)

// Tunnels of every kind come and go with their FoU ports and fallback links.
func TestCleanupOfTunnels(t *testing.T) {
	for _, encap := range []string{"ipip", "fou"} {
		t.Run(encap, func(t *testing.T) {
			n := everything(t, "--overlay-encap", encap, "--overlay-type", "full")
			before := n.state()
			n.start()
			n.eventually("with tunnels", func() error {
				if text := n.sh("ip -d link show"); strings.Count(text, "tun-") < 3 { // one is a stranger's
					return fmt.Errorf("%s", text)
				}
				return nil
			})
			n.stop()
			n.cleanup()
			same(t, "cleanup of "+encap, before, n.state())
		})
	}
}

// proxyIPVS is what kube-proxy in IPVS mode made.
const proxyIPVS = `
ip link add kube-ipvs0 type dummy
ip addr add 10.96.0.50/32 dev kube-ipvs0
sysctl -qw net.ipv4.vs.conntrack=1
ipvsadm -A -t 10.96.0.50:80 -s rr
ipvsadm -a -t 10.96.0.50:80 -r 10.244.1.5:8080 -m
ipvsadm -a -t 10.96.0.50:80 -r 10.244.1.6:8080 -m
ipset create KUBE-CLUSTER-IP hash:ip,port
ipset add KUBE-CLUSTER-IP 10.96.0.50,tcp:80
iptables-nft -t nat -N KUBE-SERVICES
iptables-nft -t nat -N KUBE-MARK-MASQ
iptables-nft -t nat -N KUBE-POSTROUTING
iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES
iptables-nft -t nat -A POSTROUTING -j KUBE-POSTROUTING
iptables-nft -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
iptables-nft -t nat -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
ipvsadm -A -t 192.0.2.80:80 -s rr
`

// An IPVS service goes with its last connection, and its link after it.
func TestTakeOverFromIPVS(t *testing.T) {
	n := serving(t, "--take-over")
	n.sh(proxyIPVS)
	front := netip.MustParseAddrPort("10.96.0.50:80")
	n.eventually("served by kube-proxy's IPVS", func() error {
		tally, err := probe.Many(n.outside.Do, probe.Request{To: front}, 10, 2)
		if err != nil || !tally.OK() {
			return fmt.Errorf("%v %v", tally, err)
		}
		return nil
	})
	line, err := probe.Open(n.outside.Do, probe.Request{To: front, Timeout: 20 * time.Second})
	n.check(err)
	defer line.Close()
	n.check(line.Beat())
	stop := n.load(50)
	time.Sleep(time.Second)
	n.start()
	n.eventually("without chains and sets", func() error {
		if text := n.sh(leavings); strings.Contains(text, "KUBE-SERVICES") || strings.Contains(text, "KUBE-CLUSTER-IP") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	// Long enough for server and link to be asked for in different calls.
	for range 4 {
		time.Sleep(3 * time.Second)
		n.check(line.Beat())
	}
	if text := n.sh("ipvsadm -Ln"); !strings.Contains(text, "10.96.0.50:80") {
		t.Errorf("the server went before its last connection:\n%s", text)
	}
	line.Close()
	n.eventually("without server and link", func() error {
		if text := n.sh("ipvsadm -Ln; ip link"); strings.Contains(text, "10.96.0.50:80") || strings.Contains(text, "kube-ipvs0") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	tally := stop()
	t.Logf("while the node was taken over: %s", tally)
	if !tally.OK() || tally.Total < 50 {
		t.Errorf("connections failed: %s", tally)
	}
	if text := n.sh("ipvsadm -Ln"); !strings.Contains(text, "192.0.2.80:80") {
		t.Errorf("a stranger's server is gone:\n%s", text)
	}
}

// The ipvs engine is cleaned up as exactly as the other.
func TestCleanupOfIPVS(t *testing.T) {
	n := everything(t, "--service-proxy-engine", "ipvs", "--overlay-encap", "ipip")
	// Settings of IPVS come with its module; here it has been there all the time.
	n.sh("ipvsadm -Ln")
	before := n.state()
	n.start()
	if text := n.sh("ipvsadm -Ln"); !strings.Contains(text, "10.96.0.50:80") {
		t.Errorf("no virtual server:\n%s", text)
	}
	n.foreign(before, n.state())
	n.stop()
	n.cleanup()
	same(t, "cleanup of ipvs", before, n.state())
}

// IPVS counts the traffic of Services.
func TestTrafficMetrics(t *testing.T) { trafficMetrics(t, "ipvs") }
