//go:build policy

package policy

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// TestThroughServices judges what goes through a Service on the pod's port and with the client's own address,
// whichever engine translates, and wherever.
func TestThroughServices(t *testing.T) {
	w := shared
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "c"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"pod": "c"}, IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack),
			Ports: []corev1.ServicePort{{Name: "web", Port: 8000, TargetPort: intstr.FromString("web"), NodePort: 30800}},
		},
	}
	if err := w.Client.Create(w.ctx, svc); err != nil {
		t.Fatal(err)
	}
	defer w.Client.Delete(w.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "c"}}, nil)
	got := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "c"}}
	if err := w.Client.Get(w.ctx, got); err != nil {
		t.Fatal(err)
	}
	var fronts []netip.AddrPort
	for _, ip := range got.Spec.ClusterIPs {
		fronts = append(fronts, netip.AddrPortFrom(netip.MustParseAddr(ip), 8000))
	}
	near := w.Node(w.Pod("y/c").NodeName())
	fronts = append(fronts, netip.AddrPortFrom(near.IPv4(), 30800))
	for _, c := range []struct{ name, spec, allowed, denied string }{
		{"ingress of the endpoint", `metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: c}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}]}`, "b", "a"},
		{"egress of the client", `spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}`, "b", "a"},
		{"egress of the client to the pod's port", `spec: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 80}]}]}
---
spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 8000}]}]}`, "b", "a"},
	} {
		w.one(t, c.name, func(t *testing.T) {
			w.apply(t, parse(t, c.spec)...)
			for _, front := range fronts {
				w.until(t, front.String()+" as the policy says", func() bool {
					good := w.Pod("x/" + c.allowed).Probe(probe.Request{To: front, Timeout: 300 * time.Millisecond})
					bad := w.Pod("x/" + c.denied).Probe(probe.Request{To: front, Timeout: 300 * time.Millisecond})
					return good.OK() && !bad.OK()
				})
			}
		})
	}
	w.one(t, "a port of the node is no Service", func(t *testing.T) {
		w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}`)...)
		client := w.Pod("x/a")
		node := w.Node(client.NodeName())
		var server *podserver.Server
		if err := node.Do(func() (err error) {
			server, err = podserver.Listen(podserver.Config{Pod: "node", TCP: []uint16{30990}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		to := probe.Request{To: netip.AddrPortFrom(node.IPv4(), 30990), Timeout: 300 * time.Millisecond}
		w.until(t, "the node's own port is refused, the Service is not", func() bool {
			svc := probe.Request{To: fronts[0], Timeout: 300 * time.Millisecond}
			return !client.Probe(to).OK() && client.Probe(svc).OK()
		})
		if other := w.Pod("x/c"); !other.Probe(to).OK() {
			t.Errorf("nobody reaches it: %s", other.Probe(to))
		}
	})
	w.one(t, "a pod reaches itself", func(t *testing.T) {
		w.apply(t, parse(t, `metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Ingress, Egress]}`)...)
		w.until(t, "itself and nobody else", func() bool {
			return w.Pod("y/c").Probe(probe.Request{To: fronts[0], Timeout: 300 * time.Millisecond}).OK() &&
				!w.Pod("x/a").Probe(probe.Request{To: fronts[0], Timeout: 300 * time.Millisecond}).OK()
		})
	})
	w.one(t, "the node reaches its own pods", func(t *testing.T) {
		w.apply(t, parse(t, `metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Ingress, Egress]}`)...)
		w.until(t, "the node's probe, and no other node's", func() bool {
			to := probe.Request{To: netip.AddrPortFrom(w.Pod("y/c").IPv4(), 80), Timeout: 300 * time.Millisecond}
			for _, n := range w.Nodes() {
				if n.Probe(to).OK() != (n.Name == near.Name) {
					return false
				}
			}
			return true
		})
	})
}
