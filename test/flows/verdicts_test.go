//go:build flows

package flows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
)

// refusing are Services of which each refuses for a reason of its own, and a namespace that leaves by a gateway.
const refusing = `
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: nobody}
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30081}, {name: dns, port: 53, protocol: UDP, nodePort: 30053}]
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec:
  ipFamilyPolicy: RequireDualStack
  internalTrafficPolicy: Local
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: ranges, namespace: shop}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  loadBalancerSourceRanges: [192.0.2.0/24, "2001:db8::/64"]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Namespace
metadata: {name: pay, labels: {kubernetes.io/metadata.name: pay}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: clerk, namespace: pay}
spec:
  selector: {matchLabels: {app: clerk}}
  template:
    metadata: {labels: {app: clerk}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080, hostPort: 8443}]}]
`

const gateway = `
apiVersion: kube-router.io/v1alpha1
kind: EgressGateway
metadata: {name: pay}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: pay}}
  addresses: [198.18.0.7, "fd00:198:18::7"]
  nodeSelector: {matchLabels: {egress: "yes"}}
`

// engine is that of the Services, as the run script says it.
func engine() []string {
	if e := os.Getenv("KUBE_ROUTER_SERVICE_ENGINE"); e != "" {
		return []string{"--service-proxy-engine=" + e}
	}
	return nil
}

// balancers are the addresses of Service ranges.
var balancers = []string{"198.18.1.1", "fd00:198:18:1::1"}

// TestVerdicts: whatever ends a connection says so, with the name of what did.
func TestVerdicts(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2, DaemonPods: true}, append(engine(), "--run-egress", "--loadbalancer-ip-range=198.18.1.0/24", "--loadbalancer-ip-range=fd00:198:18:1::/64")...)
	kind, err := os.ReadFile("../../deploy/kustomize/crds/egressgateways.yaml")
	w.check(err)
	w.apply(string(kind))
	w.apply(refusing)
	for family := range families {
		w.apply(fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: far-%d, namespace: shop, labels: {kubernetes.io/service-name: far}}
addressType: %s
endpoints: [{addresses: ["%s"], nodeName: n2, conditions: {ready: true}}]
ports: [{name: http, port: 8080, protocol: TCP}]
`, family, families[family], w.pod("shop", "web", "n2").Addrs()[family]))
	}
	ranges := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ranges"}}
	w.check(w.Client.Merge(w.ctx, ranges, "status", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": []corev1.LoadBalancerIngress{{IP: balancers[0]}, {IP: balancers[1]}}}}}))
	w.check(w.WaitReady(w.ctx))
	for family, name := range families {
		w.services(family, name)
	}
	w.gateway()
}

// refusal asks until the node tells of it.
func (w *world) refusal(group, title, node string, from *lab.Host, to netip.AddrPort, proto string, words []string, is func(flow.Record) string) {
	w.t.Helper()
	err := w.soon(func() error {
		ask(from, to, proto)
		text, err := w.run(node, "flows", "--verdict", "DROPPED", "--to-ip", to.Addr().String(), "--port", fmt.Sprint(to.Port()), "--protocol", proto)
		if err == nil && !strings.Contains(text, words[0]) {
			err = fmt.Errorf("no %q in\n%s", words[0], text)
		}
		return err
	})
	if err == nil {
		err = w.found(node, []string{"--verdict", "DROPPED", "--to-ip", to.Addr().String(), "--port", fmt.Sprint(to.Port()), "--protocol", proto}, words, is)
	}
	w.judge(group, title, err)
}

// ofService wants a drop with Hubble's reason, of a Service.
func ofService(reason, service, frontPort string) func(flow.Record) string {
	return func(r flow.Record) string {
		if r.Flow.Service == nil {
			return "no Service"
		}
		return wanted(r.Flow.Reason, reason, r.Flow.Service.Namespace+"/"+r.Flow.Service.Name, service, r.Own.Port, frontPort, r.Flow.Verdict, "DROPPED")
	}
}

func (w *world) services(family int, name string) {
	client, outside := w.pod("default", "client", "n1"), w.Outside()
	group := "verdicts " + name
	empty := w.frontend("shop", "empty", family)
	w.refusal(group, "a Service without endpoints, TCP", "n1", client, netip.AddrPortFrom(empty, 80), "tcp", []string{"; refused: no endpoint", client.Name + ":", "by Service shop/empty"}, ofService("SERVICE_BACKEND_NOT_FOUND", "shop/empty", "http"))
	w.refusal(group, "a Service without endpoints, UDP", "n1", client, netip.AddrPortFrom(empty, 53), "udp", []string{"; refused: no endpoint", "by Service shop/empty"}, ofService("SERVICE_BACKEND_NOT_FOUND", "shop/empty", "dns"))
	at := netip.AddrPortFrom(w.Node("n1").Addrs()[family], 30081)
	w.refusal(group, "its node port, from outside", "n1", outside, at, "tcp", []string{"; refused: no endpoint", "(world)", "by Service shop/empty"}, ofService("SERVICE_BACKEND_NOT_FOUND", "shop/empty", "http"))
	w.refusal(group, "a port that no Service has", "n1", client, netip.AddrPortFrom(w.frontend("shop", "web", family), 81), "tcp", []string{"; refused: no Service at this port", client.Name + ":"}, func(r flow.Record) string {
		return wanted(r.Flow.Reason, "SERVICE_BACKEND_NOT_FOUND", r.Own.Reason, "no Service at this port")
	})
	w.refusal(group, "no endpoint on this node", "n1", client, netip.AddrPortFrom(w.frontend("shop", "far", family), 80), "tcp", []string{"; dropped: no endpoint on this node", "by Service shop/far"}, ofService("SERVICE_BACKEND_NOT_FOUND", "shop/far", "http"))
	w.refusal(group, "outside of loadBalancerSourceRanges", "n1", client, netip.AddrPortFrom(netip.MustParseAddr(balancers[family]), 80), "tcp",
		[]string{"; dropped: outside of loadBalancerSourceRanges", client.Name + ":", "by Service shop/ranges"}, ofService("DENIED_BY_LB_SRC_RANGE_CHECK", "shop/ranges", "http"))
	w.unrouted(group, family)
	host := netip.AddrPortFrom(w.Node("n2").Addrs()[family], 8443)
	clerk := w.pod("pay", "clerk", "n2")
	err := w.soon(func() error {
		if r := ask(outside, host, "tcp"); !r.OK() {
			return fmt.Errorf("%s: %s", host, r)
		}
		return nil
	})
	if err == nil {
		err = w.found("n2", []string{"--to-pod", clerk.Name, "--ip", host.Addr().String()}, []string{"-> " + clerk.Name + ":8080 FORWARDED (TCP) sent to " + host.String()}, func(r flow.Record) string {
			return wanted(r.Own.Frontend, host.String(), r.Flow.Direction, "INGRESS")
		})
	}
	w.judge(group, "a host port", err)
}

// unrouted: what the kernel has no way for, by route or since the next host is silent, is told by the ICMP errors about it.
func (w *world) unrouted(group string, family int) {
	client := w.pod("default", "client", "n1")
	nowhere, silent := netip.MustParseAddr([]string{"203.0.113.66", "2001:db8:66::1"}[family]), netip.MustParseAddr([]string{"172.30.0.250", "fd00:172:30:0::250"}[family])
	if out, err := w.Node("n1").Run(w.ctx, "ip", "route", "add", "throw", nowhere.String()); err != nil {
		w.t.Fatal(err, out)
	}
	w.refusal(group, "no route", "n1", client, netip.AddrPortFrom(nowhere, 80), "tcp", []string{"; refused: no route", client.Name + ":"}, reason("FIB_LOOKUP_FAILED", "no route"))
	w.refusal(group, "nobody is there", "n1", client, netip.AddrPortFrom(silent, 53), "udp", []string{"; refused: host unreachable", client.Name + ":"}, reason("FIB_LOOKUP_FAILED", "host unreachable"))
}

// reason wants a drop with Hubble's reason, and ours.
func reason(hubble, ours string) func(flow.Record) string {
	return func(r flow.Record) string { return wanted(r.Flow.Reason, hubble, r.Own.Reason, ours) }
}

// gateway: what has no gateway fails closed and says which it lacks; what has one says by which address it left.
func (w *world) gateway() {
	w.apply(gateway)
	clerk, leaves := w.pod("pay", "clerk", "n1"), []string{"198.18.0.7", "fd00:198:18::7"}
	for family, name := range families {
		at := netip.AddrPortFrom(w.Outside().Addrs()[family], 9)
		w.refusal("verdicts "+name, "no gateway is there: it fails closed", "n1", clerk, at, "udp",
			[]string{"; dropped: no egress gateway", clerk.Name + ":", "by EgressGateway pay from " + leaves[family]}, func(r flow.Record) string {
				return wanted(r.Flow.Reason, "NO_EGRESS_GATEWAY", r.Own.Gateway, "pay", r.Own.LeavesAs, leaves[family])
			})
	}
	w.apply(`{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {egress: "yes"}}}`)
	for family, name := range families {
		at := netip.AddrPortFrom(w.Outside().Addrs()[family], uint16(10+family))
		var last error
		err := w.soon(func() error {
			ask(clerk, at, "udp")
			out, said, _ := w.plugin("flows", "--timeout", "60s", "--from-pod", clerk.Name, "--to-ip", at.Addr().String(), "--to-port", fmt.Sprint(at.Port()), "--verdict", "FORWARDED", "-o", "json")
			list, err := records(out)
			if err != nil {
				return err
			}
			for _, r := range list {
				if last = one("n1 n2", clerk.Name+":", " FORWARDED (UDP) by EgressGateway pay from "+leaves[family])([]flow.Record{r}); last == nil {
					return nil
				}
			}
			return fmt.Errorf("%w: %s%s", errors.Join(last, errors.New("not told")), out, said)
		})
		w.judge("verdicts "+name, "by which gateway and address it left, seen by both nodes", err)
	}
}

// TestClear: where encryption is strict, what would go in clear is told of.
func TestClear(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2}, "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48")
	w.check(w.Node("n1").RestartDaemon("--encryption=wireguard", "--encryption-strict", "--wireguard-key-file=/run/kube-router/wireguard.key"))
	w.check(w.WaitReady(w.ctx))
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n2")
	for family, name := range families {
		w.refusal("verdicts "+name, "clear text, where encryption is strict", "n1", client, netip.AddrPortFrom(web.Addrs()[family], port), "udp",
			[]string{"; dropped: clear text", client.Name + ":", "-> " + web.Name + ":8080 DROPPED (UDP)"}, func(r flow.Record) string {
				return wanted(r.Flow.Reason, "UNENCRYPTED_TRAFFIC", r.Flow.Direction, "EGRESS")
			})
	}
}

// TestForged: a pod that sends from another's address is named.
func TestForged(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, engine()...)
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n1")
	for family, name := range families {
		other := netip.MustParseAddr([]string{"10.244.1.99", "fd00:10:244:1::99"}[family])
		err := w.soon(func() error {
			if err := client.Do(func() error { return forge(w.ctx, other, web.Addrs()[family]) }); err != nil {
				return err
			}
			text, err := w.run("n1", "flows", "--reason", "forged", "--from-ip", other.String())
			if err == nil && !strings.Contains(text, client.Name) {
				err = fmt.Errorf("not told: %s", text)
			}
			return err
		})
		if err == nil {
			err = w.found("n1", []string{"--reason", "forged", "--from-ip", other.String()}, []string{client.Name + ":", "; dropped: forged source " + other.String()}, func(r flow.Record) string {
				return wanted(r.Flow.Reason, "INVALID_SOURCE_IP", r.Flow.IP.Source, other.String(), r.Flow.Source.Namespace, "default", r.Flow.Direction, "EGRESS")
			})
		}
		w.judge("verdicts "+name, "a forged source", err)
	}
}

// forge sends a datagram from an address that isn't ours: the kernel lets a socket that says it is transparent have any.
func forge(ctx context.Context, from, to netip.Addr) error {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		bad := raw.Control(func(fd uintptr) {
			level, option := unix.SOL_IP, unix.IP_TRANSPARENT
			if from.Is6() {
				level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
			}
			err = unix.SetsockoptInt(int(fd), level, option, 1)
		})
		return errors.Join(err, bad)
	}}
	p, err := c.ListenPacket(ctx, "udp", netip.AddrPortFrom(from, 4000).String())
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = p.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, port)))
	return err
}
