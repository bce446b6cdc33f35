//go:build !guest

package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// answer asks the daemon over HTTP and returns code and text on one line.
func (n *node) answer(url string) string {
	n.t.Helper()
	return n.sh("curl -s -m 10 -w ' %{http_code}' " + url)
}

// TestWhatNoRestartMends gives the daemon what it can't do and what is not its fault: a health-check node port that another
// program has, a route in the place of its own, tunnels that the kernel lacks. Not one of them is for health; that no other
// node can be reached readiness tells at once, and balancers are answered as before.
func TestWhatNoRestartMends(t *testing.T) {
	n := newNode(t, "--node-routes=api", "--enable-overlay=true", "--overlay-type=full", "--overlay-encap=ipip")
	var taken net.Listener
	n.check(n.space.Do(func() (err error) { taken, err = net.Listen("tcp", ":30901"); return err }))
	defer taken.Close()
	tunnels := n.run("bash", "-c", "ip link add t0 type ipip local 127.0.0.1 remote 127.0.0.2 2>&1 && ip link del t0 || true")
	n.sh("ip route add 10.244.3.0/24 via " + outsideIP.String() + " proto static")
	n.apply(`
{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.2.0/24]}, status: {addresses: [{type: InternalIP, address: ` + outsideIP.String() + `}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: lb, namespace: default}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30901, clusterIP: 10.96.0.5, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: default}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30902, clusterIP: 10.96.0.6, ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other, namespace: default, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{port: 80, protocol: TCP}]
endpoints: [{addresses: [10.244.1.9], nodeName: n1, conditions: {ready: true}}]
`)
	n.launch()
	var failing []struct {
		Table, Row, Error string
		Foreign           bool
	}
	n.eventually("failing as told", func() error {
		text, err := n.show("failing", "-o", "json")
		if err != nil {
			return errors.Join(err, errors.New(text))
		}
		failing = nil
		if err := json.Unmarshal([]byte(text), &failing); err != nil || !strings.Contains(text, "30901") {
			return fmt.Errorf("%v: %s", err, text)
		}
		return nil
	})
	for _, f := range failing {
		if !f.Foreign {
			t.Errorf("a restart would be asked for: %+v", f)
		}
	}
	if got := n.answer("http://127.0.0.1:20244/healthz"); got != "OK\n 200" {
		t.Errorf("/healthz: %s", got)
	}
	// Balancers: the port that could be had is answered, and the node takes traffic.
	for url, want := range map[string]string{"http://127.0.0.1:30902/": `"serviceProxyHealthy":true}`, "http://127.0.0.1:10256/healthz": `"nodeEligible": true}`} {
		n.eventually("answering a balancer", func() error {
			if got := n.answer(url); !strings.Contains(got, want) || !strings.HasSuffix(got, " 200") {
				return fmt.Errorf("%s: %s", url, got)
			}
			return nil
		})
	}
	if tunnels != "" {
		n.eventually("without a path", func() error {
			got := n.answer("http://127.0.0.1:20244/readyz")
			if !strings.Contains(got, "no path to other nodes: not one of 1 works") || !strings.HasSuffix(got, fmt.Sprint(http.StatusServiceUnavailable)) {
				return errors.New(got)
			}
			return nil
		})
	}
	// One more node whose route somebody else has made can be reached.
	n.apply(`{apiVersion: v1, kind: Node, metadata: {name: n3}, spec: {podCIDRs: [10.244.3.0/24]}, status: {addresses: [{type: InternalIP, address: 172.31.77.3}]}}`)
	if tunnels == "" {
		n.eventually("ready", func() error {
			if got := n.answer("http://127.0.0.1:20244/readyz"); got != "OK\n 200" {
				return errors.New(got)
			}
			return nil
		})
	}
	// A node that is about to be removed takes no new traffic, and is as well as before (KEP-3836).
	n.apply(`
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"], taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}
status: {addresses: [{type: InternalIP, address: ` + nodeIP.String() + `}]}
`)
	n.eventually("not eligible", func() error {
		got := n.answer("http://127.0.0.1:10256/healthz")
		if !strings.Contains(got, `"nodeEligible": false`) || !strings.HasSuffix(got, " 503") {
			return errors.New(got)
		}
		return nil
	})
	if got := n.answer("http://127.0.0.1:10256/livez"); !strings.HasSuffix(got, " 200") {
		t.Errorf("/livez: %s", got)
	}
}
