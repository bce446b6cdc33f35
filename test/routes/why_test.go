//go:build routes

package routes

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestWhyRoute asks why for the route of packets that pass, and of packets that others' routes lead astray; each answer is compared with
// a real packet.
func TestWhyRoute(t *testing.T) {
	for _, way := range []struct {
		name, dev, cause string
		args             []string
	}{
		{"BGP", "eth0", ", learned by BGP, of node n2", nil},
		{"API", "eth0", ", because of Node n2", []string{"--node-routes=api", "--enable-ibgp=false"}},
		{"vxlan", "kube-vxlan", ", learned by BGP", []string{"--enable-overlay=true", "--overlay-type=full", "--overlay-encap=vxlan"}},
	} {
		w := begin(t, lab.Config{Nodes: 2}, way.args...)
		n1, n2, from, far := w.Node("n1"), w.Node("n2"), w.pod("n1"), w.pod("n2")
		for f, family := range families {
			group := "why, " + way.name + ", " + family
			dst, node, ip := far.Addrs()[f].String(), n2.Addrs()[f].String(), []string{"ip -4", "ip -6"}[f]
			if way.name == "vxlan" && f == 1 {
				node = "fe80:" // the tunnel's own address
			}
			passes := func() error { return reaches(from, far, f, "tcp") }
			fails := func() error {
				if reaches(from, far, f, "tcp") == nil {
					return errors.New("a packet passes")
				}
				return nil
			}
			why := func(words ...string) error {
				return w.says(n1.Host, fmt.Sprintf("%s/kube-router why %s %s %d/tcp", programs, from.Name, far.Name, port), words...)
			}
			line := fmt.Sprintf("%s → %s/tcp: ", from.Addrs()[f], to(far, f, port).To)
			_, err := w.within(20*time.Second, passes)
			w.judge(group, "what passes is allowed, with route, next hop and cause", errors.Join(err, why(line+"allowed", "  route: ", " via "+node, "dev "+way.dev, way.cause)), "")

			w.sh(n1.Host, "%s route add unreachable %s", ip, dst)
			w.judge(group, "a route of others that refuses: no route", errors.Join(fails(), why(line+"no route", "  route: no route")), "")
			w.sh(n1.Host, "%s route del unreachable %s", ip, dst)

			nobody := []string{"172.30.0.99", "fd00:172:30::99"}[f]
			w.sh(n1.Host, "%s route add %s via %s dev eth0", ip, dst, nobody)
			err = errors.Join(fails(), why(line+"allowed", "  route: "+dst+"/", "via "+nobody+" dev eth0; the neighbour is "))
			w.judge(group, "a route of others to nobody: by whom, and that nobody answers", err, "")
			w.sh(n1.Host, "%s route del %s", ip, dst)

			_, err = w.within(5*time.Second, passes)
			w.judge(group, "without them packets pass again", errors.Join(err, why(line+"allowed", way.cause)), "")
		}
	}
}

// services are reached, or not, in ways that why has to tell apart: by port, by protocol, and by who answers where.
const services = `
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: empty}, spec: {ipFamilyPolicy: RequireDualStack, selector: {app: nobody}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: far}, spec: {ipFamilyPolicy: RequireDualStack, internalTrafficPolicy: Local, selector: {on: n2}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: single, labels: {on: n2}}, spec: {nodeName: n2, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
`

// TestWhyService asks why for addresses of Services, and compares each verdict with a real packet.
func TestWhyService(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2})
	w.check(w.Apply(w.ctx, services))
	w.check(w.WaitReady(w.ctx))
	n1, from := w.Node("n1"), w.pod("n1")
	addrs := func(name string) []string {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		w.check(w.Client.Get(w.ctx, s))
		return s.Spec.ClusterIPs
	}
	web, empty, far := addrs("web"), addrs("empty"), addrs("far")
	for f, family := range families {
		for _, c := range []struct {
			name, at, proto string
			port            uint16
			class           probe.Class
			verdict         string
		}{
			{"a Service that answers", web[f], "tcp", 80, "", "allowed"},
			{"a port that it hasn't", web[f], "tcp", 81, probe.Refused, "refused: Service default/web has no such port; it has 80/tcp"},
			{"a protocol that it hasn't", web[f], "udp", 80, probe.Refused, "refused: Service default/web has no such port; it has 80/tcp"},
			{"no endpoint", empty[f], "tcp", 80, probe.Refused, "refused: NOBODY ANSWERS: it has no endpoint"},
			{"no endpoint here, by internalTrafficPolicy", far[f], "tcp", 80, probe.Timeout, "dropped: NOBODY ANSWERS: internalTrafficPolicy is Local"},
			{"an address of nobody's", []string{"10.96.77.77", "fd00:10:96::7777"}[f], "tcp", 80, probe.Refused, "refused: no Service has this address"},
		} {
			to := netip.AddrPortFrom(netip.MustParseAddr(c.at), c.port)
			_, err := w.within(10*time.Second, func() error {
				if r := from.Probe(probe.Request{To: to, Proto: c.proto, Timeout: time.Second}); r.Class != c.class {
					return fmt.Errorf("a packet: %s, not %q", r, c.class)
				}
				return nil
			})
			line := ": " + c.verdict
			if c.class != "" {
				line = fmt.Sprintf("%s → %s/%s: %s", from.Addrs()[f], to, c.proto, c.verdict)
			}
			said := w.says(n1.Host, fmt.Sprintf("%s/kube-router why %s %s %d/%s", programs, from.Name, c.at, c.port, c.proto), line)
			w.judge("why, Services, "+family, c.name, errors.Join(err, said), "%s", c.class)
		}
	}
}
