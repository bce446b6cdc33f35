//go:build policy

package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab/probe"
)

// named is a cluster with a DNS of its own and a client whose policy names domains.
type named struct {
	*the
	zone   *zone
	v4, v6 netip.AddrPort // of the DNS Service
}

// namesPolicy is about x/a and x/b: they may ask any DNS, and reach whatever the names stand for.
const namesPolicy = `metadata: {name: names}
spec:
  tier: Admin
  priority: 1
  subject: {pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {}}}
  egress:
  - {name: dns, action: Accept, to: [{namespaces: {}}, {networks: [169.254.20.53/32]}], protocols: [{udp: {destinationPort: {number: 53}}}, {tcp: {destinationPort: {number: 53}}}]}
  - {name: names, action: Accept, to: [{domainNames: ["*.names.test", exact.test, "*.bulk.test", web.other.svc.cluster.test]}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
  - {name: shut, action: Deny, to: [{networks: [0.0.0.0/0, "::/0"]}]}`

// withNames makes the DNS, addresses of which all are one host outside, and the policy.
func (w *the) withNames(t *testing.T) *named {
	t.Helper()
	n := &named{the: w, zone: &zone{of: map[string][]dnsmessage.Resource{}}}
	outside := w.Outside()
	for _, args := range []string{"route replace local 198.18.0.0/15 dev lo", "-6 route replace local 2001:db8:5::/48 dev lo"} {
		if out, err := outside.Run(w.ctx, "ip", strings.Fields(args)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	spaces, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, space := range strings.Fields(string(spaces)) {
		if !strings.HasSuffix(space, "-fabric") {
			continue
		}
		for _, args := range [][]string{{"route", "replace", "198.18.0.0/15", "via", outside.IPv4().String()}, {"-6", "route", "replace", "2001:db8:5::/48", "via", outside.IPv6().String()}} {
			if out, err := exec.Command("ip", append([]string{"-n", space}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	if err := w.Client.Create(w.ctx, newNamespace("kube-system")); err != nil && !strings.Contains(err.Error(), "exists") {
		t.Fatal(err)
	}
	pod := newPod("kube-system", "dns", w.Pod("x/a").NodeName())
	pod.Spec.Containers[0].Ports = nil
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "dns", Labels: map[string]string{"k8s-app": "kube-dns"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"pod": "dns"}, IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack), Ports: []corev1.ServicePort{
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP}}}}
	if err := errors.Join(w.Client.Create(w.ctx, pod.DeepCopy()), w.Client.Create(w.ctx, svc)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Client.Delete(w.ctx, svc, nil), w.Client.Delete(w.ctx, pod, nil)); err != nil {
			t.Error(err)
		}
		w.until(t, "the DNS is gone", func() bool { return w.Client.Get(w.ctx, pod.DeepCopy()) != nil })
	})
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	for _, ip := range svc.Spec.ClusterIPs {
		if a := netip.MustParseAddr(ip); a.Is4() {
			n.v4 = netip.AddrPortFrom(a, 53)
		} else {
			n.v6 = netip.AddrPortFrom(a, 53)
		}
	}
	serveDNS(t, w.Pod("kube-system/dns"), n.zone)
	w.cluster(t, namesPolicy)
	n.zone.set("ready.names.test", address("ready.names.test", 300, "198.19.255.1"))
	for _, client := range []string{"x/a", "x/b"} {
		w.until(t, client+" learns", func() bool {
			return !w.Pod(client).Probe(web("198.19.255.2")).OK() && n.ask(client, "udp", n.v4, "ready.names.test") == nil && w.Pod(client).Probe(web("198.19.255.1")).OK()
		})
	}
	return n
}

// web asks port 80 of an address; what doesn't get there with its first packet is refused.
func web(a string) probe.Request {
	return probe.Request{To: netip.AddrPortFrom(netip.MustParseAddr(a), 80), Proto: "tcp", Timeout: 900 * time.Millisecond}
}

// ask has a pod ask for a name, for addresses of the family that the zone has.
func (n *named) ask(pod, network string, server netip.AddrPort, name string) error {
	return n.Pod(pod).Do(func() error {
		_, _, err := lookUp(network, server, name, dnsmessage.TypeA)
		return err
	})
}

// denied is how many packets the last rule of the policy has ended on the node of a pod.
func (n *named) denied(t *testing.T, pod string) uint64 {
	t.Helper()
	var list []struct {
		Action  string
		Packets uint64
	}
	out := n.tell(t, pod, "show", "policies", "names", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var sum uint64
	for _, h := range list {
		if h.Action == "Deny" {
			sum += h.Packets
		}
	}
	return sum
}

// TestNames has domain names of a ClusterNetworkPolicy stand for what real answers told pods.
func TestNames(t *testing.T) {
	w := shared
	w.define(t)
	n := w.withNames(t)
	n.kinds(t)
	n.ends(t)
	n.forged(t)
	n.local(t)
	n.restarts(t)
	n.first(t)
}

// kinds has answers of all kinds open what they tell, and nothing else.
func (n *named) kinds(t *testing.T) {
	z := n.zone
	z.set("deep.er.names.test", address("deep.er.names.test", 300, "198.19.1.1"))
	z.set("exact.test", address("exact.test", 300, "198.19.1.2"))
	z.set("names.test", address("names.test", 300, "198.19.1.3"))
	z.set("below.exact.test", address("below.exact.test", 300, "198.19.1.4"))
	z.set("badnames.test", address("badnames.test", 300, "198.19.1.5"))
	z.set("alias.names.test", alias("alias.names.test", 300, "hop.elsewhere.test"), alias("hop.elsewhere.test", 300, "end.elsewhere.test"), address("end.elsewhere.test", 300, "198.19.1.6"),
		address("beside.elsewhere.test", 300, "198.19.1.7"))
	z.set("tcp.names.test", address("tcp.names.test", 300, "198.19.1.8"))
	z.set("six.names.test", address("six.names.test", 300, "2001:db8:5::9"))
	z.set("six-too.names.test", address("six-too.names.test", 300, "2001:db8:5::a"), address("six-too.names.test", 300, "198.19.1.10"))
	z.set("two.names.test", address("two.names.test", 300, "198.19.1.1"))
	z.set("node.names.test", address("node.names.test", 300, n.Node("n2").IPv4().String()), address("node.names.test", 300, n.Pod("z/c").IPv4().String()))
	z.set("web.other.svc.cluster.test", address("web.other.svc.cluster.test", 300, n.Pod("z/a").IPv4().String()))
	var many []dnsmessage.Resource
	for i := range 120 {
		many = append(many, address("many.names.test", 300, fmt.Sprintf("198.19.2.%d", i+1)))
	}
	z.set("many.names.test", many...)
	for _, c := range []struct {
		name, network string
		v6            bool
		ask           string
		open, shut    []string
	}{
		{"any depth", "udp", false, "deep.er.names.test", []string{"198.19.1.1"}, nil},
		{"exact", "udp", false, "exact.test", []string{"198.19.1.2"}, nil},
		{"not the domain itself", "udp", false, "names.test", nil, []string{"198.19.1.3"}},
		{"not below an exact name", "udp", false, "below.exact.test", nil, []string{"198.19.1.4"}},
		{"not a name that ends so", "udp", false, "badnames.test", nil, []string{"198.19.1.5"}},
		{"aliases", "udp", false, "alias.names.test", []string{"198.19.1.6"}, []string{"198.19.1.7"}},
		{"TCP", "tcp", false, "tcp.names.test", []string{"198.19.1.8"}, nil},
		{"IPv6", "udp", false, "six.names.test", []string{"2001:db8:5::9"}, nil},
		{"over IPv6", "tcp", true, "six-too.names.test", []string{"2001:db8:5::a", "198.19.1.10"}, nil},
		{"120 addresses", "udp", false, "many.names.test", []string{"198.19.2.1", "198.19.2.120"}, nil},
		{"a node and a pod", "udp", false, "node.names.test", nil, []string{n.Node("n2").IPv4().String(), n.Pod("z/c").IPv4().String()}},
		{"a pod by its own name", "udp", false, "web.other.svc.cluster.test", []string{n.Pod("z/a").IPv4().String()}, nil},
	} {
		n.one(t, "names: "+c.name, func(t *testing.T) {
			for _, client := range []string{"x/a", "x/b"} { // beside the DNS, and on another node
				server := n.v4
				if c.v6 {
					server = n.v6
				}
				if err := n.ask(client, c.network, server, c.ask); err != nil {
					t.Fatal(err)
				}
				for _, a := range c.open {
					if r := n.Pod(client).Probe(web(a)); !r.OK() {
						t.Errorf("%s to %s: %s", client, a, r)
					}
				}
				for _, a := range c.shut {
					if r := n.Pod(client).Probe(web(a)); r.OK() {
						t.Errorf("%s to %s: %s", client, a, r)
					}
				}
			}
		})
	}
}

// ends has the time of an address end: what begins then is refused, what stands goes on, and a new answer opens it again.
func (n *named) ends(t *testing.T) {
	n.one(t, "names: the time of an address", func(t *testing.T) {
		n.zone.set("short.names.test", address("short.names.test", 1, "198.19.3.1"))
		n.zone.set("short-too.names.test", address("short-too.names.test", 1, "198.19.3.1"), address("short-too.names.test", 300, "198.19.3.2"))
		if err := n.ask("x/a", "udp", n.v4, "short.names.test"); err != nil {
			t.Fatal(err)
		}
		line, err := n.Pod("x/a").Open(web("198.19.3.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer line.Close()
		for range 2 {
			n.until(t, "it is over", func() bool { return !n.Pod("x/a").Probe(web("198.19.3.1")).OK() })
			if err := line.Beat(); err != nil {
				t.Fatalf("what stands: %v", err)
			}
			if err := n.ask("x/a", "udp", n.v4, "short-too.names.test"); err != nil {
				t.Fatal(err)
			}
			if r := n.Pod("x/a").Probe(web("198.19.3.1")); !r.OK() {
				t.Fatalf("told again: %s", r)
			}
		}
		n.until(t, "it is over again", func() bool { return !n.Pod("x/a").Probe(web("198.19.3.1")).OK() })
		// Another policy that touches the address judges what stands there.
		n.cluster(t, `metadata: {name: beside}
spec: {tier: Admin, priority: 0, subject: {pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {}}}, egress: [{action: Deny, to: [{networks: [198.19.99.0/24]}]}]}`)
		n.until(t, "the other policy is there", func() bool { return strings.Contains(n.tell(t, "x/a", "show", "policies", "beside"), "Deny") })
		for range 20 {
			if err := line.Beat(); err != nil {
				t.Fatalf("what stands: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if r := n.Pod("x/a").Probe(web("198.19.3.2")); !r.OK() {
			t.Errorf("an address beside it, that counts longer: %s", r)
		}
	})
}

// forged has others than the cluster's DNS tell what names stand for.
func (n *named) forged(t *testing.T) {
	n.one(t, "names: who tells", func(t *testing.T) {
		lies := &zone{of: map[string][]dnsmessage.Resource{"lie.names.test": {address("lie.names.test", 300, "198.19.4.1")}}}
		stranger := n.Pod("y/b")
		serveDNS(t, stranger, lies)
		for _, network := range []string{"udp", "tcp"} {
			if err := n.ask("x/a", network, netip.AddrPortFrom(stranger.IPv4(), 53), "lie.names.test"); err != nil {
				t.Fatalf("the policy lets it ask anybody: %v", err)
			}
		}
		// A pod that answers itself, and an answer that nobody asked for, from the stranger and as the DNS.
		self := n.Pod("x/b")
		serveDNS(t, self, lies)
		if err := n.ask("x/b", "udp", netip.AddrPortFrom(self.IPv4(), 53), "lie.names.test"); err != nil {
			t.Fatal(err)
		}
		answer := lies.answer(question("lie.names.test", dnsmessage.TypeA))
		for _, port := range []string{"40000", "53", "80"} {
			if err := stranger.Do(func() error {
				from, err := net.ListenPacket("udp4", stranger.IPv4().String()+":0")
				if err != nil {
					return err
				}
				defer from.Close()
				to, err := net.ResolveUDPAddr("udp4", n.Pod("x/a").IPv4().String()+":"+port)
				if err == nil {
					_, err = from.WriteTo(answer, to)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		for _, client := range []string{"x/a", "x/b"} {
			if r := n.Pod(client).Probe(web("198.19.4.1")); r.OK() {
				t.Errorf("%s believes a stranger: %s", client, r)
			}
		}
	})
}

// local has a cache on the node answer, tracked and not.
func (n *named) local(t *testing.T) {
	n.one(t, "names: a cache on the node", func(t *testing.T) {
		node := n.Node(n.Pod("x/a").NodeName())
		const cache = "169.254.20.53"
		if out, err := node.Run(n.ctx, "ip", "address", "add", cache+"/32", "dev", "lo"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		defer node.Run(n.ctx, "ip", "address", "del", cache+"/32", "dev", "lo")
		serveDNS(t, node.Host, n.zone, netip.MustParseAddr(cache))
		for i, rules := range []string{"", `add table ip cache
add chain ip cache in { type filter hook prerouting priority -300 ; }
add chain ip cache out { type filter hook output priority -300 ; }
add rule ip cache in ip daddr 169.254.20.53 notrack
add rule ip cache out ip saddr 169.254.20.53 notrack`} {
			for rule := range strings.Lines(rules) {
				if out, err := node.Run(n.ctx, "nft", strings.TrimSpace(rule)); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			name, at := fmt.Sprintf("cached%d.names.test", i), fmt.Sprintf("198.19.5.%d", i+1)
			n.zone.set(name, address(name, 300, at))
			if err := n.ask("x/a", "udp", netip.MustParseAddrPort(cache+":53"), name); err != nil {
				t.Fatal(err)
			}
			if r := n.Pod("x/a").Probe(web(at)); !r.OK() {
				t.Errorf("tracked %t: %s", i == 0, r)
			}
		}
		if out, err := node.Run(n.ctx, "nft", "delete table ip cache"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// restarts kills the daemon: DNS goes on, what is known too, what is new is refused; and what was known is known to the next.
func (n *named) restarts(t *testing.T) {
	n.one(t, "names: kill -9", func(t *testing.T) {
		n.zone.set("before.names.test", address("before.names.test", 300, "198.19.6.1"))
		n.zone.set("meanwhile.names.test", address("meanwhile.names.test", 300, "198.19.6.2"))
		if err := n.ask("x/a", "udp", n.v4, "before.names.test"); err != nil {
			t.Fatal(err)
		}
		node := n.Node(n.Pod("x/a").NodeName())
		if err := node.KillDaemon(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := n.ask("x/a", "udp", n.v4, "meanwhile.names.test"); err != nil {
				t.Errorf("DNS without a daemon: %v", err)
			}
		}
		if err := n.ask("x/a", "tcp", n.v4, "meanwhile.names.test"); err != nil {
			t.Errorf("DNS over TCP without a daemon: %v", err)
		}
		known, fresh := n.Pod("x/a").Probe(web("198.19.6.1")), n.Pod("x/a").Probe(web("198.19.6.2"))
		if !known.OK() || fresh.OK() {
			t.Errorf("without a daemon: what is known: %s; what is new: %s", known, fresh)
		}
		if err := node.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		var refused atomic.Uint64
		n.until(t, "it learns again", func() bool {
			if r := n.Pod("x/a").Probe(web("198.19.6.1")); !r.OK() {
				refused.Add(1)
			}
			return n.ask("x/a", "udp", n.v4, "meanwhile.names.test") == nil && n.Pod("x/a").Probe(web("198.19.6.2")).OK()
		})
		if r := n.Pod("x/a").Probe(web("198.19.6.1")); !r.OK() || refused.Load() > 0 {
			t.Errorf("what was known before: %s, refused %d times", r, refused.Load())
		}
	})
}
