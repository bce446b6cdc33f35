//go:build boundaries

package boundaries

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// The ranges that the operators of these tests give to Services, beside the lab's cluster range.
var holderFlags = []string{
	"--service-external-ip-range=10.98.0.0/16", "--service-external-ip-range=fd00:10:98::/112",
	"--loadbalancer-ip-range=10.99.0.0/16", "--loadbalancer-ip-range=fd00:10:99::/112",
}

// routed brings packets from outside to Service addresses to n1.
func (w *world) routed(t *testing.T, ranges ...string) {
	t.Helper()
	for _, r := range ranges {
		to, family := w.Node("n1").IPv4(), "-4"
		if netip.MustParsePrefix(r).Addr().Is6() {
			to, family = w.Node("n1").IPv6(), "-6"
		}
		if out, err := w.Fabric().Command(w.ctx, "ip", family, "route", "add", r, "via", to.String()).CombinedOutput(); err != nil {
			t.Fatalf("route %s: %v: %s", r, err, out)
		}
	}
}

func (w *world) apply(t *testing.T, manifest string) {
	t.Helper()
	if err := w.Apply(w.ctx, manifest); err != nil {
		t.Fatal(err)
	}
}

// labelled is a pod of an app on a node, listening on 8080 with TCP and UDP.
func labelled(name, app, node, more string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {namespace: default, name: %s, labels: {app: %s}}
spec: {nodeName: %s, containers: [{name: c, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}%s]}]}
`, name, app, node, more)
}

// dual is a dual-stack Service of an app with a port for TCP and UDP.
func dual(name, app, kind string, port, node int, more string) string {
	nodePort := ""
	if node > 0 {
		nodePort = fmt.Sprintf(", nodePort: %d", node)
	}
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: %s}
spec:
  type: %s
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: %s}
  %s
  ports: [{name: t, port: %d, targetPort: 8080%s}, {name: u, protocol: UDP, port: %[5]d, targetPort: 8080%[6]s}]
`, name, kind, app, more, port, nodePort)
}

// nobody is the pod where a refusal or silence is right.
const nobody = "nobody"

// answers complains unless a pod answers at an address, waiting until it is so. An empty pod wants a refusal; a node's own
// datagram is refused as it is sent.
func (w *world) answers(from *lab.Host, to netip.Addr, port uint16, proto, pod string) string {
	q := probe.Request{To: netip.AddrPortFrom(to, port), Proto: proto}
	var r probe.Result
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		q.Timeout = time.Second
		r = from.Probe(q)
		switch {
		case pod == "" && (r.Class == probe.Refused || r.Class == probe.Prohibited && proto == "udp"), pod != "" && strings.TrimPrefix(r.Pod, "default/") == pod && r.OK():
			return ""
		case pod == nobody && !r.OK():
			return ""
		case time.Now().After(end):
			return fmt.Sprintf("from %s to %s/%s: %v, want %q", from.Name, q.To, proto, r, pod)
		}
	}
}

// TestEngineAnOlderServiceKeepsItsAddress has a newer Service, whose name comes first, take the external address of an older one.
func TestEngineAnOlderServiceKeepsItsAddress(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2, DaemonArgs: holderFlags})
	w.routed(t, "10.98.0.0/16", "fd00:10:98::/112")
	w.apply(t, labelled("right", "web", "n1", "")+labelled("wrong", "other", "n2", "")+labelled("client", "client", "n2", ""))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	const shared = `externalIPs: ["10.98.0.8", "fd00:10:98::8"]`
	older, newer := dual("z-web", "web", "ClusterIP", 80, 0, shared), dual("a-web", "other", "ClusterIP", 80, 0, shared)
	at := []netip.Addr{netip.MustParseAddr("10.98.0.8"), netip.MustParseAddr("fd00:10:98::8")}
	all := func(when, pod string) {
		t.Helper()
		for _, from := range []*lab.Host{w.Outside(), w.Pod("client"), w.Node("n2").Host} {
			for _, a := range at {
				for _, proto := range []string{"tcp", "udp"} {
					judge(t, fmt.Sprintf("%s: from %s at %s/%s", when, from.Name, a, proto), w.answers(from, a, 80, proto, pod))
				}
			}
		}
	}
	w.apply(t, older)
	all("alone", "right")
	time.Sleep(1100 * time.Millisecond) // a Service's age counts seconds
	w.apply(t, newer)
	judge(t, "the newer is told who has it", w.told("a-web", "it is the external address of Service default/z-web"))
	all("beside a newer one", "right")
	if err := w.Node("n1").RestartDaemon(); err != nil {
		t.Fatal(err)
	}
	all("after a restart", "right")
	if err := w.Delete(w.ctx, older); err != nil {
		t.Fatal(err)
	}
	all("when the older is gone", "wrong")
}

// told complains unless an Event of a Service says something.
func (w *world) told(service, says string) string {
	var list corev1.EventList
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = w.Client.List(w.ctx, &list, "default", ""); err != nil {
			continue
		}
		if slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Kind == "Service" && e.InvolvedObject.Name == service && strings.Contains(e.Message, says)
		}) {
			return ""
		}
	}
	return fmt.Sprintf("none of %d Events of %s says %q (%v)", len(list.Items), service, says, err)
}

// TestEngineServicesGoBeforeHostPorts has a pod with host ports on the node where clients' packets meet Services: whatever is at a
// Service's address is the Service's, on every port, and so is a node port at the node's own. The pod keeps its other ports.
func TestEngineServicesGoBeforeHostPorts(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2, DaemonArgs: holderFlags})
	w.routed(t, "10.96.0.0/16", "fd00:10:96::/112", "10.98.0.0/16", "fd00:10:98::/112", "10.99.0.0/16", "fd00:10:99::/112")
	host := ""
	for _, port := range []int{443, 8443, 30443, 30444} {
		host += fmt.Sprintf(", {containerPort: 8080, hostPort: %d}, {containerPort: 8080, hostPort: %[1]d, protocol: UDP}", port)
	}
	w.apply(t, labelled("ingress", "ingress", "n1", host)+labelled("right", "web", "n2", "")+
		labelled("client-1", "client", "n1", "")+labelled("client-2", "client", "n2", ""))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.apply(t, dual("web", "web", "LoadBalancer", 443, 30443, `externalIPs: ["10.98.0.9", "fd00:10:98::9"]`)+
		dual("empty", "nobody", "NodePort", 443, 30444, ""))
	s := &corev1.Service{}
	s.Namespace, s.Name = "default", "web"
	ingress := []corev1.LoadBalancerIngress{{IP: "10.99.0.9"}, {IP: "fd00:10:99::9"}}
	if err := w.Client.Merge(w.ctx, s, "status", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Client.Get(w.ctx, s); err != nil {
		t.Fatal(err)
	}
	n1 := w.Node("n1")
	for _, from := range []*lab.Host{w.Pod("client-1"), w.Pod("client-2"), n1.Host, w.Node("n2").Host, w.Outside()} {
		for f, family := range []string{"IPv4", "IPv6"} {
			for _, proto := range []string{"tcp", "udp"} {
				cluster := netip.MustParseAddr(s.Spec.ClusterIPs[f])
				external := netip.MustParseAddr(s.Spec.ExternalIPs[f])
				balancer := netip.MustParseAddr(ingress[f].IP)
				own := []netip.Addr{n1.IPv4(), n1.IPv6()}[f]
				for _, c := range []struct {
					what string
					at   netip.Addr
					port uint16
					pod  string
				}{
					{"cluster address", cluster, 443, "right"},
					{"balancer address", balancer, 443, "right"},
					{"external address", external, 443, "right"},
					{"cluster address, no port of the Service", cluster, 8443, ""},
					{"external address, no port of the Service", external, 8443, nobody}, // ipvs refuses, nftables lets it pass on
					{"node port at the node's address", own, 30443, "right"},
					{"node port without endpoints", own, 30444, ""},
					{"host port at the node's address", own, 443, "ingress"},
					{"another host port", own, 8443, "ingress"},
				} {
					judge(t, fmt.Sprintf("%s from %s, %s/%s", c.what, from.Name, family, proto), w.answers(from, c.at, c.port, proto, c.pod))
				}
			}
		}
	}
}

// TestAFormerRangeLeavesTheStatus gives a Service an address of a range that is then another one.
func TestAFormerRangeLeavesTheStatus(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2})
	w.apply(t, `
apiVersion: v1
kind: Service
metadata: {namespace: default, name: web}
spec: {type: LoadBalancer, loadBalancerClass: kube-router, ipFamilyPolicy: SingleStack, ipFamilies: [IPv4], selector: {app: web}, ports: [{port: 80}]}
`)
	judge(t, "while nobody gives addresses the Service is told", w.told("web", "no address is given"))
	given := func(ranges, want string) string {
		for _, n := range w.Nodes() {
			if err := n.RestartDaemon("--run-loadbalancer", "--loadbalancer-ip-range="+ranges); err != nil {
				t.Fatal(err)
			}
		}
		var have []string
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			s := &corev1.Service{}
			s.Namespace, s.Name = "default", "web"
			if err := w.Client.Get(w.ctx, s); err != nil {
				return err.Error()
			}
			have = nil
			for _, in := range s.Status.LoadBalancer.Ingress {
				have = append(have, in.IP)
			}
			if slices.Equal(have, []string{want}) {
				return ""
			}
		}
		return fmt.Sprintf("status has %v, want %s alone", have, want)
	}
	judge(t, "an address of the range", given("198.51.100.0/24", "198.51.100.1"))
	judge(t, "an address of the next range alone", given("198.51.101.0/24", "198.51.101.1"))
	judge(t, "the Service is told", w.told("web", "198.51.100.1 is taken away"))
}
