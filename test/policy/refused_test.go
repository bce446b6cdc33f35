//go:build policy

package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestRefusedEverywhere has a refusal look the same from everywhere: by the pod's own address, the cluster IP and the
// node port; from a pod on the same node, one on another, and outside; for flows that stood before the policy and for
// new ones; for what the server may not take and what the client may not send. Whoever may goes on.
func TestRefusedEverywhere(t *testing.T) {
	w := shared
	server := w.Pod("y/c")
	node := w.Node(server.NodeName())
	ways := w.waysTo(t, server, node)
	var beside, apart *lab.Host
	for _, name := range []string{"x/a", "x/b"} {
		if p := w.Pod(name); p.NodeName() == node.Name {
			beside = p
		} else {
			apart = p
		}
	}
	friend := w.Pod("z/b")
	for _, c := range []struct {
		name, policy string
		clients      []*lab.Host
	}{
		{"ingress of the server", `metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: c}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`, []*lab.Host{beside, apart, w.Outside()}},
		{"egress of the client", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`, []*lab.Host{beside, apart}},
	} {
		w.one(t, c.name, func(t *testing.T) {
			var flows []*refused
			for _, client := range c.clients {
				for _, way := range ways {
					f := &refused{from: client, to: way}
					flows = append(flows, f)
					if f.line = w.open(t, client, way.to); f.line != nil {
						defer f.line.Close()
					}
				}
			}
			var kept []*probe.Line
			for _, way := range ways {
				if line := w.open(t, friend, way.to); line != nil {
					defer line.Close()
					kept = append(kept, line)
				}
			}
			w.apply(t, parse(t, c.policy)...)
			for _, f := range flows {
				f.judge(t)
			}
			if !strings.HasPrefix(c.name, "ingress") {
				return // the friend's own namespace isn't isolated, and where it may go is judged above
			}
			for i, line := range kept {
				if err := line.Beat(); err != nil {
					t.Errorf("%s, who may: %s: %v", friend.Name, ways[i], err)
				}
			}
		})
	}
}

// wayTo is one address by which a pod is asked.
type wayTo struct {
	name string
	to   netip.AddrPort
}

func (w wayTo) String() string { return fmt.Sprintf("%s %s", w.name, w.to.Addr()) }

// waysTo makes a Service for a pod and gives every address by which it answers. Outside learns the ways to pods and cluster IPs.
func (w *the) waysTo(t *testing.T, server *lab.Host, node *lab.Node) (list []wayTo) {
	t.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "refused"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"pod": "c"}, IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack),
			Ports: []corev1.ServicePort{
				{Name: "t", Port: 5400, TargetPort: intstr.FromInt32(80), NodePort: 30540},
				{Name: "u", Port: 5400, TargetPort: intstr.FromInt32(80), NodePort: 30540, Protocol: corev1.ProtocolUDP},
			},
		},
	}
	if err := w.Client.Create(w.ctx, svc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Client.Delete(w.ctx, svc, nil); err != nil {
			t.Error(err)
		}
	})
	got := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "refused"}}
	if err := w.Client.Get(w.ctx, got); err != nil {
		t.Fatal(err)
	}
	for i, ip := range got.Spec.ClusterIPs {
		front, pod, own := netip.MustParseAddr(ip), server.Addrs()[i], node.Addrs()[i]
		for _, a := range []netip.Addr{front, pod} {
			route := []string{"route", "replace", netip.PrefixFrom(a, a.BitLen()).String(), "via", own.String()}
			if out, err := w.Fabric().Command(w.ctx, "ip", route...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v: %s", strings.Join(route, " "), err, out)
			}
			t.Cleanup(func() { _ = w.Fabric().Command(w.ctx, "ip", "route", "del", route[2]).Run() })
		}
		for _, way := range []struct {
			name string
			a    netip.Addr
			port uint16
		}{{"directly", pod, 80}, {"by the cluster IP", front, 5400}, {"by the node port", own, 30540}} {
			to := netip.AddrPortFrom(way.a, way.port)
			list = append(list, wayTo{way.name, to})
		}
	}
	return list
}

// open makes a connection that is to stand, waiting until its Service does.
func (w *the) open(t *testing.T, from *lab.Host, to netip.AddrPort) (line *probe.Line) {
	t.Helper()
	w.until(t, from.Name+" reaches "+to.String(), func() (ok bool) {
		l, err := from.Open(probe.Request{To: to, Timeout: 3 * time.Second})
		if err != nil {
			l.Close()
			return false
		}
		line = l
		return from.Probe(probe.Request{To: to, Proto: "udp"}).OK()
	})
	return line
}

// refused is a client that may no longer reach a server, with a connection from before.
type refused struct {
	from *lab.Host
	to   wayTo
	line *probe.Line
}

// judge wants the connection cut by a reset, and new flows refused before the client's kernel would ask again.
func (f *refused) judge(t *testing.T) {
	t.Helper()
	what := fmt.Sprintf("from %s %s", f.from.Name, f.to)
	var err error
	for end := time.Now().Add(15 * time.Second); err == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		err = f.line.Beat()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: the connection that stood: %v, want a reset", what, err)
	}
	for _, proto := range []string{"tcp", "udp"} {
		r := f.from.Probe(probe.Request{To: f.to.to, Proto: proto, Timeout: 900 * time.Millisecond})
		for range 2 { // a busy machine may be late once
			if r.Class == probe.Refused {
				break
			}
			r = f.from.Probe(probe.Request{To: f.to.to, Proto: proto, Timeout: 900 * time.Millisecond})
		}
		if r.Class != probe.Refused {
			t.Errorf("%s: a new flow by %s: %s, want a refusal", what, proto, r)
		}
	}
}
