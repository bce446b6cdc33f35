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

// routerIPVS is what kube-router v2's service proxy made for the Service web, and for one that is gone by now.
const routerIPVS = `
ip link add kube-dummy-if type dummy
ip link set kube-dummy-if up
ip addr add 10.96.0.50/32 dev kube-dummy-if scope link
ip addr add 10.96.0.99/32 dev kube-dummy-if scope link
ip route replace local 10.96.0.50 dev kube-dummy-if table local proto 17 scope host src 172.31.77.1
sysctl -qw net.ipv4.vs.conntrack=1
ipvsadm -A -t 10.96.0.50:80 -s rr
ipvsadm -a -t 10.96.0.50:80 -r 10.244.1.5:8080 -m
ipvsadm -a -t 10.96.0.50:80 -r 10.244.1.6:8080 -m
ipvsadm -A -t 10.96.0.99:80 -s rr
ipset create kube-router-svip hash:ip timeout 0
ipset add kube-router-svip 10.96.0.50
ipset create kube-router-svip-prt hash:ip,port timeout 0
ipset add kube-router-svip-prt 10.96.0.50,tcp:80
iptables-nft -N KUBE-ROUTER-SERVICES
iptables-nft -I INPUT 1 -m comment --comment "handle traffic to IPVS service IPs in custom chain" -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES
iptables-nft -A KUBE-ROUTER-SERVICES -m set --match-set kube-router-svip-prt dst,dst -j ACCEPT
iptables-nft -t nat -N KUBE-ROUTER-HAIRPIN
iptables-nft -t nat -A POSTROUTING -m ipvs --vdir ORIGINAL --vmethod MASQ -m comment --comment "" ! -s 10.244.1.0/24 ! -d 10.244.1.0/24 -j SNAT --to-source 172.31.77.1 --random-fully
`

// A node of v2 changes hands under load, to either engine: connections that go on through its IPVS end by
// themselves, new ones never fail, and what nobody wants is gone at the end.
func TestTakeOverFromRouter(t *testing.T) {
	for _, engine := range []string{"ipvs", "nftables"} {
		t.Run(engine, func(t *testing.T) {
			n := serving(t, "--take-over", "--service-proxy-engine", engine)
			n.sh(routerLeft + routerIPVS)
			front := netip.MustParseAddrPort("10.96.0.50:80")
			n.eventually("served by v2", func() error {
				tally, err := probe.Many(n.outside.Do, probe.Request{To: front}, 10, 2)
				if err != nil || !tally.OK() {
					return fmt.Errorf("%v %v", tally, err)
				}
				return nil
			})
			line, err := probe.Open(n.outside.Do, probe.Request{To: front, Timeout: 30 * time.Second})
			n.check(err)
			defer line.Close()
			n.check(line.Beat())
			stop := n.load(50)
			time.Sleep(time.Second)
			n.start()
			look, gone := leavings, append([]string{"kube-router-svip", "--vmethod MASQ", "32765:"}, theirs...)
			if engine == "ipvs" { // the other keeps addresses for as long as there are connections
				look, gone = look+"; ipvsadm -Ln; ip addr", append(gone, "10.96.0.99")
			}
			n.eventually("without leftovers", func() error {
				text := n.sh(look)
				for _, w := range gone {
					if strings.Contains(text, w) {
						return fmt.Errorf("%s is there:\n%s", w, text)
					}
				}
				return nil
			})
			time.Sleep(2 * time.Second)
			if err := line.Beat(); err != nil {
				t.Errorf("a connection that was open broke: %v", err)
			}
			tally := stop()
			t.Logf("while the node was taken over: %s", tally)
			if !tally.OK() || tally.Total < 50 {
				t.Errorf("connections failed: %s", tally)
			}
		})
	}
}
