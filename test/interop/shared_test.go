//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// sharing is a Service of an app at an external address that others have too, on a port of its own.
func sharing(name, app, policy string, port, host int) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default}
spec:
  type: NodePort
  externalTrafficPolicy: %s
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  externalIPs: ["10.98.0.%d", "fd00:10:98::%[3]d"]
  selector: {app: %s}
  ports: [{port: %d, targetPort: 8080}]
`, name, policy, host, app, port)
}

func appPod(name, app, node string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {namespace: default, name: %s, labels: {app: %s}}
spec: {nodeName: %s, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}
`, name, app, node)
}

// TestSharedAddress has Services of both traffic policies share external addresses, whichever is older: a router that hears of an
// address from a node gets an answer of each Service there, and a node that doesn't serve all of them doesn't announce it.
func TestSharedAddress(t *testing.T) {
	w := begin(t, lab.Config{}, peering(first)...)
	w.apply(appPod("far", "far", "n1") + appPod("near", "near", "n2"))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11", "172.30.0.12"))
	r.says(20*time.Second, "show protocols", "n1         BGP        ---        up", "n2         BGP        ---        up")
	w.apply(sharing("cluster-1", "far", "Cluster", 80, 11) + sharing("local-2", "near", "Local", 81, 12))
	time.Sleep(1100 * time.Millisecond) // a Service's age counts seconds
	w.apply(sharing("local-1", "near", "Local", 81, 11) + sharing("cluster-2", "far", "Cluster", 80, 12))
	served := func(when string, announcing, not string, ports map[uint16]string) {
		t.Helper()
		for _, a := range []string{"10.98.0.11", "10.98.0.12", "fd00:10:98::11", "fd00:10:98::12"} {
			for _, n := range strings.Fields(announcing) {
				r.says(20*time.Second, "show route for "+a+" protocol "+n, a)
			}
			for _, n := range strings.Fields(not) {
				r.silent(20*time.Second, "show route for "+a+" protocol "+n, a)
			}
			for port, pod := range ports {
				w.until(fmt.Sprintf("%s: %s:%d answers", when, a, port), 20*time.Second, func() error {
					got := r.Probe(probe.Request{To: netip.AddrPortFrom(addr(a), port), Proto: "tcp", Timeout: 2 * time.Second})
					if !got.OK() || got.Pod != "default/"+pod {
						route, _ := r.Run(w.ctx, "ip", "route", "get", a)
						return fmt.Errorf("%v, want %s (%s)", got, pod, route)
					}
					return nil
				})
			}
		}
	}
	served("an endpoint on n2", "n2", "n1", map[uint16]string{80: "far", 81: "near"})
	w.remove(appPod("near", "near", "n2"))
	served("no endpoint of the Local Services", "n1 n2", "", map[uint16]string{80: "far"})
	w.apply(appPod("near-1", "near", "n1"))
	served("an endpoint on n1", "n1", "n2", map[uint16]string{80: "far", 81: "near-1"})
}
