//go:build flows

package flows

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
)

const isolating = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
`

const denying = `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guardrail}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - {name: no-pods, action: Deny, to: [{namespaces: {}}]}
`

// TestEnded: what policies end is told with the policies' names, also of before the first question and for clients of a Service.
func TestEnded(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2})
	kind, err := os.ReadFile("../../deploy/kustomize/policy-crd/clusternetworkpolicies.yaml")
	w.check(err)
	w.apply(string(kind))
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n2")
	w.apply(isolating)
	for family, name := range families {
		at := netip.AddrPortFrom(web.Addrs()[family], port)
		front := netip.AddrPortFrom(w.frontend("shop", "web", family), 80)
		w.check(w.soon(func() error {
			if r := ask(client, at, "tcp"); r.OK() {
				return fmt.Errorf("%s still answers", at)
			}
			return nil
		}))
		ask(client, at, "udp")
		for _, proto := range []string{"TCP", "UDP"} {
			err := w.found("n2", []string{"--verdict", "DROPPED", "--to-ip", at.Addr().String(), "--protocol", proto, "--reason", "default deny"},
				[]string{client.Name + ":", fmt.Sprintf("-> %s:%d DROPPED (%s)", web.Name, port, proto), "refused: default deny (ingress) by NetworkPolicy shop/closed"}, func(r flow.Record) string {
					return wanted(r.Flow.Reason, "POLICY_DENIED", fmt.Sprint(r.Flow.IngressBy), "[{closed shop NetworkPolicy}]", r.Flow.Direction, "INGRESS", r.Flow.IP.Version, name, "default/"+r.Flow.Source.Pod, client.Name)
				})
			w.judge("ended "+name, "default deny of a NetworkPolicy, "+proto, err)
		}
		ask(client, front, "tcp")
	}
	w.check(w.Delete(w.ctx, isolating))
	w.apply(denying)
	for family, name := range families {
		at := netip.AddrPortFrom(web.Addrs()[family], port)
		err := w.soon(func() error {
			ask(client, at, "udp")
			text, err := w.run("n1", "flows", "--reason", "deny rule", "--ip", at.Addr().String())
			if err == nil && text == "" {
				err = fmt.Errorf("nothing yet")
			}
			return err
		})
		if err == nil {
			err = w.found("n1", []string{"--verdict", "DROPPED", "--from-namespace", "default", "--ip", at.Addr().String()},
				[]string{"dropped: deny rule in tier Admin (egress) by ClusterNetworkPolicy guardrail, spec.egress[0] (\"no-pods\")"}, func(r flow.Record) string {
					return wanted(r.Flow.Reason, "POLICY_DENY", fmt.Sprint(r.Flow.EgressBy), "[{guardrail  ClusterNetworkPolicy}]", r.Flow.Direction, "EGRESS", r.Own.Tier, "Admin")
				})
		}
		w.judge("ended "+name, "a deny rule of a ClusterNetworkPolicy", err)
	}
}
