//go:build !guest

package operate

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"kube-router/internal/lab/probe"
)

// With the nftables engine connection tracking counts the traffic of Services.
func TestTrafficMetrics(t *testing.T) { trafficMetrics(t, "nftables") }

// TestMetricsOfTheReference: every metric that dashboards and alerts of v2.11 ask for is there, with its labels.
func TestMetricsOfTheReference(t *testing.T) {
	n := serving(t, "--metrics-port", "8080", "--node-routes", "bgp", "--run-firewall=true")
	n.apply("{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.2.0/24]}, status: {addresses: [{type: InternalIP, address: 172.31.77.2}]}}")
	n.start()
	tally, err := probe.Many(n.outside.Do, probe.Request{To: netip.MustParseAddrPort("10.96.0.50:80")}, 3, 1)
	n.check(err)
	if !tally.OK() {
		t.Fatalf("%s", tally)
	}
	metrics := n.get("http://127.0.0.1:8080/metrics")
	for _, want := range strings.Fields(referenceMetrics + " " + ours) {
		name, labels, labelled := strings.Cut(strings.TrimSuffix(want, "}"), "{")
		found := regexp.MustCompile(`(?m)^kube_router_` + name + `(_count)?(?:\{(.*)\})? `).FindStringSubmatch(metrics)
		switch {
		case found == nil:
			t.Errorf("no metric kube_router_%s", name)
		case labelled:
			for _, l := range strings.Split(labels, ",") {
				if !strings.Contains(","+found[2], ","+l+`="`) {
					t.Errorf("kube_router_%s has no label %s: %s", name, l, found[0])
				}
			}
		}
	}
}
