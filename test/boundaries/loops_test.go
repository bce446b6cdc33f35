//go:build boundaries

package boundaries

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// loopServices are a Service with an address of each kind, and the cluster's DNS.
const loopServices = `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {nodeName: n1, containers: [{name: c, image: lab}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ipFamilyPolicy: RequireDualStack
  clusterIPs: [10.96.0.80, "fd00:10:96::80"]
  externalIPs: [198.51.100.80, "2001:db8:51::80"]
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns}
spec: {selector: {app: web}, clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, targetPort: 8080}]}
`

// freeAddress is an address of the pods of n1. Who shares a link with pods asks there whose it is; who doesn't, is told by n1.
const freeAddress = "an address of this node's pods that none has"

// unserved are destinations in ranges of ours that nobody serves, by family.
var unserved = [2][]struct{ name, to string }{
	{
		{"an unused cluster address", "10.96.200.200"}, {"an unused port of a cluster address", "10.96.0.80"},
		{"an unused port of an external address", "198.51.100.80"}, {"an unused address of an announced range", "198.51.100.99"},
		{"a pod range that no node has", "10.244.200.7"}, {freeAddress, "10.244.1.200"},
	},
	{
		{"an unused cluster address", "fd00:10:96::c8"}, {"an unused port of a cluster address", "fd00:10:96::80"},
		{"an unused port of an external address", "2001:db8:51::80"}, {"an unused address of an announced range", "2001:db8:51::99"},
		{"a pod range that no node has", "fd00:10:244:c8::7"}, {freeAddress, "fd00:10:244:1::c8"},
	},
}

// TestEngineLoops sends to n1, which attracts all of it, what nobody serves: the sender is told at once, and nothing goes back.
func TestEngineLoops(t *testing.T) {
	w := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{
		"--advertise-cluster-ip", "--advertise-external-ip", "--advertise-service-ranges", "--service-external-ip-range=198.51.100.0/24,2001:db8:51::/64",
		"--advertise-pod-aggregate=10.244.0.0/16,fd00:10:244::/48",
	}})
	if err := w.Apply(w.ctx, loopServices); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	n1 := w.Node("n1")
	for family, ranges := range [][]string{{"10.96.0.0/16", "198.51.100.0/24", "10.244.0.0/16"}, {"fd00:10:96::/112", "2001:db8:51::/64", "fd00:10:244::/48"}} {
		for _, r := range ranges {
			if err := w.Fabric().Do(func() error {
				out, err := exec.Command("ip", "route", "replace", r, "via", n1.Addrs()[family].String()).CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := n1.Run(w.ctx, "nft", "add table inet spy; add chain inet spy out { type filter hook postrouting priority 300; }; "+
		`add rule inet spy out oifname "eth0" ip daddr { 10.96.0.0/16, 198.51.100.0/24, 10.244.0.0/16 } counter; `+
		`add rule inet spy out oifname "eth0" ip6 daddr { fd00:10:96::/112, 2001:db8:51::/64, fd00:10:244::/48 } counter`); err != nil {
		t.Fatal(err, out)
	}
	for family, name := range []string{"IPv4", "IPv6"} {
		for _, from := range []*lab.Host{w.Outside(), w.Pod("default/client"), n1.Host} {
			w.served(t, name+": from "+from.Name, from, family)
			for _, c := range unserved[family] {
				// Linux tells connections of TCP alone that a host is unreachable, not those of UDP.
				protos := []string{"tcp", "udp"}[:map[bool]int{true: 1, false: 2}[strings.HasPrefix(c.name, "a pod range") || c.name == freeAddress]]
				refused := refusedAtOnce
				if c.name == freeAddress {
					refused = unreachableSoon
				}
				judge(t, fmt.Sprintf("%s: from %s to %s", name, from.Name, c.name), refused(from, netip.MustParseAddr(c.to), protos))
			}
		}
	}
	out, err := n1.Run(w.ctx, "nft", "list", "table", "inet", "spy")
	complaint := ""
	if err != nil || strings.Count(out, "packets 0") != 2 {
		complaint = fmt.Sprintf("%v %s", err, out)
	}
	judge(t, "nothing of it went back to the network", complaint)
}

// served lets the Service be reached, and echo be answered at its addresses.
func (w *world) served(t *testing.T, name string, from *lab.Host, family int) {
	t.Helper()
	for _, to := range [2][]string{{"10.96.0.80", "198.51.100.80"}, {"fd00:10:96::80", "2001:db8:51::80"}}[family] {
		complaint := ""
		addr := netip.MustParseAddr(to)
		if err := w.Until(w.ctx, "the Service answers", func() error {
			if r := from.Probe(probe.Request{To: netip.AddrPortFrom(addr, 80)}); !r.OK() {
				return fmt.Errorf("%s", r)
			}
			return nil
		}); err != nil {
			complaint = err.Error()
		} else if err := echo(from, addr); err != nil {
			complaint = "no echo: " + err.Error()
		}
		judge(t, name+" to the Service at "+to, complaint)
	}
}

// refusedAtOnce tells what is wrong unless the sender is told at once, or when he asks again: IPv6 limits how many errors
// one host is sent (RFC 4443, section 2.4).
func refusedAtOnce(from *lab.Host, to netip.Addr, protos []string) string {
	for _, proto := range protos {
		r := probe.Result{Class: probe.Timeout}
		for try := 0; try < 3 && r.Class == probe.Timeout; try++ {
			r = from.Probe(probe.Request{To: netip.AddrPortFrom(to, 4999), Proto: proto, Timeout: 2 * time.Second})
		}
		if r.Class != probe.Refused && r.Class != probe.Unreachable && r.Class != probe.Prohibited {
			return proto + ": " + r.String()
		}
	}
	return ""
}

// unreachableSoon tells what is wrong unless the sender is told within two seconds, of one of three addresses: each is asked for anew, so
// that what counts is how long it takes to ask for one.
func unreachableSoon(from *lab.Host, to netip.Addr, protos []string) string {
	var r probe.Result
	for range 3 {
		r = from.Probe(probe.Request{To: netip.AddrPortFrom(to, 4999), Proto: protos[0], Timeout: 2 * time.Second})
		if r.Class == probe.Unreachable || r.Class == probe.Refused { // to others the firewall refuses what is no pod's
			return ""
		}
		to = to.Next()
	}
	return r.String()
}

// TestNodeLocalDNS runs a cache at the cluster's DNS address on the node, with its packets exempt from tracking, as
// NodeLocal DNSCache does where Services aren't carried by IPVS.
func TestNodeLocalDNS(t *testing.T) {
	w := start(t, lab.Config{Nodes: 1})
	if err := w.Apply(w.ctx, loopServices); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	n1 := w.Node("n1")
	for _, command := range []string{
		"ip addr add 10.96.0.10/32 dev lo",
		"nft add table ip cache; nft add chain ip cache pre '{ type filter hook prerouting priority -300; }'; nft add chain ip cache out '{ type filter hook output priority -300; }'",
		"nft add rule ip cache pre ip daddr 10.96.0.10 tcp dport 53 notrack; nft add rule ip cache out ip daddr 10.96.0.10 tcp dport 53 notrack",
		"nft add rule ip cache out ip saddr 10.96.0.10 tcp sport 53 notrack",
	} {
		if out, err := n1.Run(w.ctx, "sh", "-c", command); err != nil {
			t.Fatal(err, out)
		}
	}
	heard := make(chan string, 10)
	var l net.Listener
	if err := n1.Do(func() (err error) { l, err = net.Listen("tcp", "10.96.0.10:53"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			heard <- c.RemoteAddr().String()
			c.Close()
		}
	}()
	for _, from := range []*lab.Host{w.Pod("default/client"), n1.Host} {
		complaint := ""
		if err := from.Do(func() error {
			c, err := net.DialTimeout("tcp", "10.96.0.10:53", 3*time.Second)
			if err == nil {
				c.Close()
			}
			return err
		}); err != nil {
			complaint = err.Error()
		} else {
			select {
			case <-heard:
			case <-time.After(3 * time.Second):
				complaint = "another than the cache answered"
			}
		}
		judge(t, from.Name+" reaches the cache of its node", complaint)
	}
}
