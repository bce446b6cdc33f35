//go:build boundaries

package boundaries

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// tunnelPods are: an isolated pod that takes packets of a friend alone, the friend, others of both nodes, and Services
// whose endpoint is the port of n2's tunnels.
const tunnelPods = `
{apiVersion: v1, kind: Pod, metadata: {name: closed, labels: {pod: closed}}, spec: {nodeName: n2, containers: [{name: c, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: open}, spec: {nodeName: n2, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: friend, labels: {pod: friend}}, spec: {nodeName: n1, containers: [{name: c, image: lab}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: far}, spec: {nodeName: n1, containers: [{name: c, image: lab}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {matchLabels: {pod: closed}}, ingress: [{from: [{podSelector: {matchLabels: {pod: friend}}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: door4}
spec: {type: NodePort, clusterIP: 10.96.0.72, ports: [{port: 72, nodePort: 30072, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: door4, labels: {kubernetes.io/service-name: door4}}
addressType: IPv4
ports: [{port: %d, protocol: UDP}]
endpoints: [{addresses: [%s], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: door6}
spec: {type: NodePort, ipFamilyPolicy: SingleStack, ipFamilies: [IPv6], ports: [{port: 72, nodePort: 30073, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: door6, labels: {kubernetes.io/service-name: door6}}
addressType: IPv6
ports: [{port: %d, protocol: UDP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}]
`

// tunnelWorld is a lab with tunnels between all nodes, and the pods above.
type tunnelWorld struct {
	*world
	t            *testing.T
	encap        string
	port         uint16 // of the tunnels
	closed, open *ear
	node         stranger // the one who may
}

func tunnels(t *testing.T, encap string, port uint16) *tunnelWorld {
	w := &tunnelWorld{world: start(t, lab.Config{Nodes: 3, DaemonArgs: []string{"--overlay-type=full", "--overlay-encap=" + encap}}), t: t, encap: encap, port: port}
	n2 := w.Node("n2")
	if err := w.Apply(w.ctx, fmt.Sprintf(tunnelPods, max(port, 1), n2.IPv4(), max(port, 1), n2.IPv6())); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.closed, err = listen(w.Pod("default/closed"), netip.Addr{}); err == nil {
		w.open, err = listen(w.Pod("default/open"), netip.Addr{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// inner is a UDP packet with words to an ear.
func inner(from, to netip.Addr, e *ear, words string) []byte {
	src, dst := netip.AddrPortFrom(from, 9), netip.AddrPortFrom(to, e.port)
	return packet(from, to, protoUDP, udp(src, dst, words))
}

// wrapped is what a UDP socket sends to a tunnel's port of a node for the packet to come out there.
func (w *tunnelWorld) wrapped(node netip.Addr, packet []byte) []byte {
	if w.encap == "ipip" {
		return packet
	}
	if w.encap == "fou" {
		proto := byte(protoIPIP)
		if packet[0]>>4 == 6 {
			proto = protoIP6
		}
		return append([]byte{0, proto, 0, 0}, packet...) // GUE, version 0
	}
	name := "kube-vxlan"
	if node.Is6() {
		name = "kube-vxlan6"
	}
	var mac net.HardwareAddr
	if err := w.Node("n2").Do(func() error {
		link, err := net.InterfaceByName(name)
		if err == nil {
			mac = link.HardwareAddr
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	kind := []byte{0x08, 0x00}
	if packet[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	frame := append(append(append([]byte{}, mac...), 2, 0, 0, 0, 0, 1), kind...)
	return append(append([]byte{8, 0, 0, 0, 0, 0, 77, 0}, frame...), packet...)
}

// stranger is whoever tries to reach the isolated pod by n2's tunnels, from a socket or with a forged source.
type stranger struct {
	name string
	from *lab.Host
	to   netip.AddrPort
	as   netip.Addr // a node's address that is forged; zero: none
}

// try sends a packet to a tunnel.
func (w *tunnelWorld) try(s stranger, data []byte) error {
	if !s.as.IsValid() {
		return datagram(s.from, s.to, data)
	}
	proto := byte(protoUDP)
	if w.port == 0 {
		proto = inside(s.as)
	} else {
		data = udp(netip.AddrPortFrom(s.as, 40000), s.to, string(data))
	}
	return raw(s.from, s.to.Addr(), packet(s.as, s.to.Addr(), proto, data))
}

func (w *tunnelWorld) strangers(family int) []stranger {
	n2, n1, n3 := w.Node("n2").Addrs()[family], w.Node("n1").Addrs()[family], w.Node("n3").Addrs()[family]
	tunnel, nodePort := netip.AddrPortFrom(n2, w.port), uint16(30072+family)
	list := []stranger{
		{"a pod of another node, as a third node", w.Pod("default/far"), tunnel, n3},
		{"a pod of the same node, as another node", w.Pod("default/open"), tunnel, n3},
	}
	if w.port == 0 {
		return list
	}
	list = append(list, []stranger{
		{"a host outside", w.Outside(), tunnel, none},
		{"a pod of another node", w.Pod("default/far"), tunnel, none},
		{"a pod of the same node", w.Pod("default/open"), tunnel, none},
		{"a host outside, by a node port of another node", w.Outside(), netip.AddrPortFrom(n1, nodePort), none},
		{"a host outside, by a node port of the same node", w.Outside(), netip.AddrPortFrom(n2, nodePort), none},
		{"a pod, by a node port of a third node", w.Pod("default/far"), netip.AddrPortFrom(n3, nodePort), none},
	}...)
	if family == 0 {
		service := netip.MustParseAddrPort("10.96.0.72:72")
		list = append(list, stranger{"a pod, by a cluster address", w.Pod("default/far"), service, none},
			stranger{"a pod of the same node, by a cluster address", w.Pod("default/open"), service, none})
	}
	return list
}

var none netip.Addr

// TestEngineTunnelPort sends to the tunnels of n2 what comes from no node, as the packet of a pod that may reach an isolated one.
func TestEngineTunnelPort(t *testing.T) {
	w := tunnels(t, "vxlan", 8472)
	w.attack()
	w.joins()
}

// TestEngineTunnelPortOfFOU does the same with the encapsulation that carries any protocol past a node's own firewall.
func TestEngineTunnelPortOfFOU(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv4/conf/tunl0"); err != nil {
		t.Skip("this kernel has no IPIP; the guest has")
	}
	w := tunnels(t, "fou", 5555)
	w.attack()
	w.pastFirewall()
}

// TestEngineTunnelProtocol does the same where a tunnel is known by the protocol alone.
func TestEngineTunnelProtocol(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv4/conf/tunl0"); err != nil {
		t.Skip("this kernel has no IPIP; the guest has")
	}
	tunnels(t, "ipip", 0).attack()
}

// attack lets everybody but a node try.
func (w *tunnelWorld) attack() {
	for family, name := range []string{"IPv4", "IPv6"} {
		n1, n2 := w.Node("n1"), w.Node("n2").Addrs()[family]
		friend, closed := w.Pod("default/friend").Addrs()[family], w.Pod("default/closed").Addrs()[family]
		w.rightful(name, family)
		// A node itself may: that shows that the packet is one that would arrive.
		w.node = stranger{from: n1.Host, to: netip.AddrPortFrom(n2, w.port), as: n1.Addrs()[family]}
		words := name + " from a node"
		if err := w.try(w.node, w.wrapped(n2, inner(friend, closed, w.closed, words))); err != nil || !w.closed.hears(words, 10*time.Second) {
			w.t.Fatalf("%s: the packet of a node did not arrive: %v", name, err)
		}
		for i, s := range w.strangers(family) {
			words, complaint := fmt.Sprintf("%s %d", name, i), ""
			err := w.try(s, w.wrapped(n2, inner(friend, closed, w.closed, words)))
			if w.closed.hears(words, time.Second) {
				complaint = "its packet came out of the tunnel"
			} else if err != nil {
				complaint = err.Error()
			}
			judge(w.t, name+": "+s.name, complaint)
		}
		w.comesOut(name, family)
		w.rightful(name, family)
	}
}

// pastFirewall sends through the tunnels' port what the node's own firewall drops.
func (w *tunnelWorld) pastFirewall() {
	n2 := w.Node("n2")
	e, err := listen(n2.Host, none)
	if err != nil {
		w.t.Fatal(err)
	}
	if out, err := n2.Run(w.ctx, "nft", fmt.Sprintf("add table inet theirs; add chain inet theirs in { type filter hook input priority 0; }; add rule inet theirs in udp dport %d drop", e.port)); err != nil {
		w.t.Fatal(err, out)
	}
	for family, name := range []string{"IPv4", "IPv6"} {
		from, to, complaint := w.Outside().Addrs()[family], n2.Addrs()[family], ""
		data := udp(netip.AddrPortFrom(from, 9), netip.AddrPortFrom(to, e.port), name)
		if err := datagram(w.Outside(), netip.AddrPortFrom(to, w.port), append([]byte{0, protoUDP, 0, 0}, data...)); err != nil {
			complaint = err.Error()
		} else if e.hears(name, time.Second) {
			complaint = "the node heard it"
		}
		judge(w.t, name+": a host outside, with UDP that the node's firewall drops", complaint)
	}
}

// rightful lets the friend speak with the isolated pod.
func (w *tunnelWorld) rightful(name string, family int) {
	complaint := ""
	to := netip.AddrPortFrom(w.Pod("default/closed").Addrs()[family], 8080)
	err := w.Until(w.ctx, "the friend reaches the isolated pod", func() error {
		if r := w.Pod("default/friend").Probe(probe.Request{To: to}); !r.OK() {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	if err != nil {
		complaint = err.Error()
	}
	judge(w.t, name+": a pod reaches another through the tunnel", complaint)
}

// comesOut sends n2 through its tunnel, as a node may, what no node has to send.
func (w *tunnelWorld) comesOut(name string, family int) {
	n2, open := w.Node("n2").Addrs()[family], w.Pod("default/open").Addrs()[family]
	service := netip.MustParseAddr([]string{"10.96.0.1", "fd00:10:96::1"}[family])
	for i, c := range []struct {
		name   string
		from   netip.Addr
		passes bool
	}{
		{"a pod of the other node", w.Pod("default/far").Addrs()[family], true},
		{"a pod of this node", w.Pod("default/closed").Addrs()[family], false},
		{"this node", n2, false},
		{"a cluster address", service, false},
	} {
		words, complaint := fmt.Sprintf("%s out %d", name, i), ""
		if err := w.try(w.node, w.wrapped(n2, inner(c.from, open, w.open, words))); err != nil {
			w.t.Fatal(err)
		}
		limit := time.Second
		if c.passes {
			limit = 10 * time.Second
		}
		if w.open.hears(words, limit) != c.passes {
			complaint = fmt.Sprintf("it passes: %t", !c.passes)
		}
		judge(w.t, name+": out of the tunnel with the address of "+c.name, complaint)
	}
}

// joins has one more node join: it speaks with the others at once.
func (w *tunnelWorld) joins() {
	if _, err := w.AddNode(w.ctx, 0); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Apply(w.ctx, `{apiVersion: v1, kind: Pod, metadata: {name: late}, spec: {nodeName: n4, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}`); err != nil {
		w.t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	for family, name := range []string{"IPv4", "IPv6"} {
		complaint := ""
		for _, pair := range [][2]string{{"default/late", "default/open"}, {"default/far", "default/late"}} {
			to := netip.AddrPortFrom(w.Pod(pair[1]).Addrs()[family], 8080)
			if err := w.Until(w.ctx, "a node that joins is reached", func() error {
				if r := w.Pod(pair[0]).Probe(probe.Request{To: to}); !r.OK() {
					return fmt.Errorf("%s → %s: %s", pair[0], pair[1], r)
				}
				return nil
			}); err != nil {
				complaint = err.Error()
			}
		}
		judge(w.t, name+": a node that joins speaks with the others", complaint)
	}
}

// ownPorts are Services whose endpoints are ports of n2 itself: kube-router's, and another program's.
const ownPorts = `
apiVersion: v1
kind: Service
metadata: {name: own}
spec: {type: NodePort, clusterIP: 10.96.0.44, ports: [{name: ours, port: 44, nodePort: 30044}, {name: theirs, port: 45, nodePort: 30045}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: own, labels: {kubernetes.io/service-name: own}}
addressType: IPv4
ports: [{name: ours, port: 20244}, {name: theirs, port: %d}]
endpoints: [{addresses: [%s], conditions: {ready: true}}]
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {nodeName: n1, containers: [{name: c, image: lab}]}}
`

// TestEngineOwnPorts asks a node's own port through Services: nobody gets a node's address for it.
func TestEngineOwnPorts(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2, Families: lab.IPv4Only})
	n1, n2 := w.Node("n1"), w.Node("n2")
	var l net.Listener
	if err := n2.Do(func() (err error) { l, err = net.Listen("tcp", ":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Close()
		}
	}()
	if err := w.Apply(w.ctx, fmt.Sprintf(ownPorts, l.Addr().(*net.TCPAddr).Port, n2.IPv4())); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	connects := func(from *lab.Host, to string) error {
		return from.Do(func() error {
			c, err := net.DialTimeout("tcp", to, time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	nodePort := func(n *lab.Node, port uint16) string { return netip.AddrPortFrom(n.IPv4(), port).String() }
	for _, c := range []struct {
		name string
		from *lab.Host
		to   string
		may  bool
	}{
		{"a host outside, another program's port", w.Outside(), nodePort(n1, 30045), true},
		{"a host outside, kube-router's port, with its own address", w.Outside(), nodePort(n2, 20244), true},
		{"a pod, kube-router's port by a cluster address, with its own address", w.Pod("default/client"), "10.96.0.44:44", true},
		{"a host outside, kube-router's port by a node port", w.Outside(), nodePort(n1, 30044), false},
	} {
		var err error
		if c.may {
			err = w.Until(w.ctx, c.name, func() error { return connects(c.from, c.to) })
		} else if connects(c.from, c.to) == nil {
			err = fmt.Errorf("it got there with the address of n1")
		}
		complaint := ""
		if err != nil {
			complaint = err.Error()
		}
		judge(t, c.name, complaint)
	}
}
