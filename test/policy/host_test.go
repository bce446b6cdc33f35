//go:build policy

package policy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api"
	"kube-router/internal/lab"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// nodePolicies applies NodePolicies until the end of the test.
func (w *the) nodePolicies(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		text = "apiVersion: kube-router.io/v1alpha1\nkind: NodePolicy\n" + text
		if err := w.Apply(w.ctx, text); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Delete(w.ctx, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// serve has a node answer at ports, as its own processes do, once for all tests.
var serving sync.Once

func (w *the) serve(t *testing.T) {
	t.Helper()
	serving.Do(func() {
		for _, n := range w.Nodes() {
			if err := n.Do(func() error {
				ports := []uint16{22, 80, 81, 2379}
				_, err := podserver.Listen(podserver.Config{Pod: n.Name, TCP: ports, UDP: ports})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		w.ownKinds(t, "nodepolicies")
	})
}

// knock asks a host's port, by TCP or UDP.
func knock(from *lab.Host, to *lab.Host, v6 bool, proto string, port uint16, patience time.Duration) bool {
	a := to.IPv4()
	if v6 {
		a = to.IPv6()
	}
	return from.Probe(probe.Request{To: netip.AddrPortFrom(a, port), Proto: proto, Timeout: patience}).OK()
}

const (
	everywhere = `[{networks: [0.0.0.0/0, "::/0"]}]`
	mistake    = `metadata: {name: mistake}
spec: {ingress: [{name: shut, action: Deny, from: ` + everywhere + `}], egress: [{action: Deny, to: ` + everywhere + `}]}`
)

// silent waits until a host's port answers no longer, which may take as long as a new kind does to be read.
func (w *the) silent(t *testing.T, from, to *lab.Host, v6 bool, port uint16) {
	t.Helper()
	w.eventually(t, fmt.Sprintf("%s is not let to %s port %d, IPv6 %t", from.Name, to.Name, port, v6), func() bool {
		return !knock(from, to, v6, "tcp", port, 300*time.Millisecond)
	})
}

func (w *the) passes(t *testing.T, what string, from, to *lab.Host, v6 bool, proto string, port uint16) {
	t.Helper()
	if !knock(from, to, v6, proto, port, 3*time.Second) && !knock(from, to, v6, proto, port, 3*time.Second) {
		t.Errorf("%s: %s to %s port %d/%s, IPv6 %t, doesn't pass", what, from.Name, to.Name, port, proto, v6)
	}
}

// ready tells whether all nodes are.
func (w *the) ready(t *testing.T) bool {
	t.Helper()
	for _, node := range w.Nodes() {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
		if err := w.Client.Get(w.ctx, n); err != nil {
			t.Fatal(err)
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				return false
			}
		}
	}
	return true
}

// TestHostMistake: a NodePolicy that denies everything everywhere closes what it can, and leaves the nodes ready, reachable and at work; said
// twice it closes ssh too.
func TestHostMistake(t *testing.T) {
	w := shared
	w.serve(t)
	n1, n2, out := w.Node("n1").Host, w.Node("n2").Host, w.Outside()
	w.one(t, "a mistake", func(t *testing.T) {
		if rules, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "show", "nft"); err == nil && strings.Contains(rules, "policy-node-") {
			t.Error("chains of nodes without any NodePolicy")
		}
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "far"}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"pod": "c"}, IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack),
			Ports: []corev1.ServicePort{{Port: 8000, TargetPort: intstr.FromInt32(80), NodePort: 30811}},
		}}
		if err := w.Client.Create(w.ctx, svc); err != nil {
			t.Fatal(err)
		}
		defer w.Client.Delete(w.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "far"}}, nil)
		w.nodePolicies(t, mistake)
		for _, v6 := range []bool{false, true} {
			w.silent(t, out, n1, v6, 80)
			w.silent(t, out, n2, v6, 80)
			if knock(out, n1, v6, "udp", 80, 300*time.Millisecond) || knock(n1, n2, v6, "tcp", 81, 300*time.Millisecond) || knock(n1, out, v6, "tcp", 80, 300*time.Millisecond) ||
				knock(w.Pod("x/a"), n1, v6, "tcp", 80, 300*time.Millisecond) {
				t.Errorf("IPv6 %t: something passes that is denied", v6)
			}
			w.passes(t, "ssh", out, n1, v6, "tcp", 22)
			w.passes(t, "ssh from a pod", w.Pod("x/a"), n1, v6, "tcp", 22)
			w.passes(t, "etcd", n2, n1, v6, "tcp", 2379)
			w.passes(t, "a node and itself", n1, n1, v6, "tcp", 80)
			w.passes(t, "a probe of a pod of its own", w.Node(w.Pod("x/a").NodeName()).Host, w.Pod("x/a"), v6, "tcp", 80)
			w.passes(t, "a node port, which is forwarded", out, n1, v6, "tcp", 30811)
			w.passes(t, "a node port, which is forwarded", out, n2, v6, "tcp", 30811)
			w.passes(t, "pods of one node and of two", w.Pod("x/a"), w.Pod("x/c"), v6, "tcp", 80)
			w.passes(t, "pods of one node and of two", w.Pod("x/a"), w.Pod("x/b"), v6, "udp", 80)
		}
		w.passes(t, "what a pod sends out is forwarded", w.Pod("x/a"), out, false, "tcp", 80)
		time.Sleep(4 * time.Second) // for nodes to become what they become
		if !w.ready(t) {
			t.Error("a node is not ready")
		}
		if r := n2.Probe(probe.Request{To: netip.AddrPortFrom(n1.IPv4(), 179), Proto: "tcp", Timeout: 2 * time.Second}); r.Class == probe.Timeout {
			t.Errorf("BGP: %s", r)
		}
		drops, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "show", "drops")
		if err != nil || !strings.Contains(drops, "ingress of the node") {
			t.Errorf("drops: %v\n%s", err, drops)
		}
		hits, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "show", "policies", "mistake")
		if err != nil || !strings.Contains(hits, "Node Admin") || !strings.Contains(hits, "spec.ingress[0]") {
			t.Errorf("hits: %v\n%s", err, hits)
		}
		for _, c := range []struct{ from, to, port, want string }{
			{out.IPv4().String(), n1.IPv4().String(), "80/tcp", `ingress of node n1: denied in tier Admin by NodePolicy mistake, spec.ingress[0] ("shut")`},
			{out.IPv6().String(), n1.IPv6().String(), "22/tcp", "ingress of node n1: allowed: a fail-safe of nodes"},
			{n1.IPv4().String(), n2.IPv4().String(), "80/tcp", "egress of node n1: denied in tier Admin by NodePolicy mistake, spec.egress[0]"},
			{n1.IPv4().String(), w.Pod("x/a").IPv4().String(), "80/tcp", "of node n1: "},
		} {
			why, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "why", c.from, c.to, c.port)
			if err != nil || !strings.Contains(why, c.want) || strings.Contains(why, "DIFFERS") {
				t.Errorf("why %s %s %s: %v\n%s\nwant %s", c.from, c.to, c.port, err, why, c.want)
			}
		}
		w.nodePolicies(t, `metadata: {name: twice}
spec: {nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}, priority: 1, failSafes: Close, ingress: [{action: Deny, from: `+everywhere+`, protocols: [{tcp: {destinationPort: {number: 22}}}]}]}`)
		for _, v6 := range []bool{false, true} {
			w.silent(t, out, n1, v6, 22)
			w.passes(t, "another node's ssh", out, n2, v6, "tcp", 22)
			w.passes(t, "another fail-safe", n2, n1, v6, "tcp", 2379)
		}
	})
}

// TestHostRules: peers, ports and directions as rules say; a flow that stood ends when it is denied, another stays; an audited policy drops nothing and counts.
func TestHostRules(t *testing.T) {
	w := shared
	w.serve(t)
	n1, n2, out := w.Node("n1").Host, w.Node("n2").Host, w.Outside()
	const rules = `spec: {nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}, ingress: [
  {action: Accept, from: [{nodes: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]},
  {action: Accept, from: [{pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: a}}}}]},
  {name: rest, action: Deny, from: ` + everywhere + `, protocols: [{tcp: {destinationPort: {range: {start: 80, end: 90}}}}]}],
 egress: [{action: Deny, to: [{nodes: {matchLabels: {kubernetes.io/hostname: n2}}}], protocols: [{tcp: {destinationPort: {number: 81}}}]}]}`
	check := func(t *testing.T) {
		t.Helper()
		for _, v6 := range []bool{false, true} {
			w.silent(t, out, n1, v6, 80)
			w.silent(t, w.Pod("y/c"), n1, v6, 81)
			w.silent(t, n1, n2, v6, 81)
			w.passes(t, "a node", n2, n1, v6, "tcp", 80)
			w.passes(t, "a pod that may", w.Pod("x/a"), n1, v6, "tcp", 81)
			w.passes(t, "another protocol", out, n1, v6, "udp", 80)
			w.passes(t, "another node", out, n2, v6, "tcp", 80)
			w.passes(t, "another port", n1, n2, v6, "tcp", 80)
		}
	}
	w.one(t, "rules", func(t *testing.T) {
		ends, stays := w.open(t, out, netip.AddrPortFrom(n1.IPv4(), 80)), w.open(t, out, netip.AddrPortFrom(n1.IPv4(), 22))
		defer ends.Close()
		defer stays.Close()
		w.nodePolicies(t, "metadata: {name: rules}\n"+rules)
		check(t)
		w.until(t, "the flow that is denied now ends", func() bool { return ends.Beat() != nil })
		if err := stays.Beat(); err != nil {
			t.Errorf("a flow that nobody denies: %v", err)
		}
	})
	w.one(t, "rules audited", func(t *testing.T) {
		w.nodePolicies(t, "metadata: {name: rules, annotations: {kube-router.io/enforcement: audit}}\n"+rules)
		count := func() string {
			page, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "show", "rehearsal")
			if err != nil {
				t.Fatal(err)
			}
			return page
		}
		w.eventually(t, "what an audited policy would end is counted", func() bool {
			for _, v6 := range []bool{false, true} {
				w.passes(t, "audited", out, n1, v6, "tcp", 80)
				w.passes(t, "audited", n1, n2, v6, "tcp", 81)
			}
			page := count()
			return strings.Contains(page, "Node Admin rules spec.ingress[2]") && strings.Contains(page, "Node Admin rules spec.egress[0]")
		})
	})
}

// TestHostKilled kills and restarts the daemon: what is denied never passes, what is allowed always does.
func TestHostKilled(t *testing.T) {
	w := shared
	w.serve(t)
	n1, out := w.Node("n1").Host, w.Outside()
	w.one(t, "kill -9 and restart under a NodePolicy", func(t *testing.T) {
		w.nodePolicies(t, `metadata: {name: held}
spec: {ingress: [{action: Deny, from: `+everywhere+`, protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {number: 80}}}]}]}`)
		for _, v6 := range []bool{false, true} {
			w.silent(t, out, n1, v6, 80)
		}
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		var running sync.WaitGroup
		tallies := make([]*probe.Tally, 4)
		for i, q := range []probe.Request{
			{To: netip.AddrPortFrom(n1.IPv4(), 80), Proto: "tcp", Timeout: 400 * time.Millisecond}, {To: netip.AddrPortFrom(n1.IPv6(), 80), Proto: "udp", Timeout: 400 * time.Millisecond},
			{To: netip.AddrPortFrom(n1.IPv4(), 81), Proto: "tcp", Timeout: 3 * time.Second}, {To: netip.AddrPortFrom(n1.IPv6(), 22), Proto: "tcp", Timeout: 3 * time.Second},
		} {
			running.Go(func() { tallies[i], _ = out.Load(ctx, q, 50, 8) })
		}
		w.killSome(t, w.Node("n1"))
		up := func() bool {
			_, err := w.Node("n1").Run(w.ctx, w.dir+"/kube-router", "show", "policies")
			return err == nil
		}
		w.eventually(t, "the daemon answers", up)
		if err := w.Node("n1").RestartDaemon(); err != nil {
			t.Error(err)
		}
		w.eventually(t, "the daemon answers again", up)
		cancel()
		running.Wait()
		for i, l := range tallies {
			t.Logf("%d: %s", i, l)
			if l.Total < 20 || i < 2 && len(l.ByPod) > 0 || i >= 2 && !l.OK() {
				t.Errorf("%d: %s", i, l)
			}
		}
	})
}

// TestHostGenerated compares packets with the naive evaluator for random NodePolicies: a sample of what the planner's own test compares.
func TestHostGenerated(t *testing.T) {
	w := shared
	w.serve(t)
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(17, 6))}
	n1 := w.Node("n1")
	for i := range 15 {
		w.one(t, fmt.Sprint("nodes ", i), func(t *testing.T) {
			o := w.oracle(nil)
			for _, n := range w.Nodes() {
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
				if err := w.Client.Get(w.ctx, node); err != nil {
					t.Fatal(err)
				}
				o.Nodes = append(o.Nodes, node)
			}
			var list []*api.NodePolicy
			for j := range 1 + g.IntN(3) {
				p := g.NodePolicy(fmt.Sprint("g", j))
				p.UID, p.Spec.NodeSelector, p.TypeMeta = "", nil, metav1.TypeMeta{}
				for _, rules := range [][]api.NodeRule{p.Spec.Ingress, p.Spec.Egress} {
					for k := range rules {
						// The API server refuses what has no field that is known.
						rules[k].From, rules[k].To, rules[k].Protocols = known(rules[k].From), known(rules[k].To), knownProtocols(rules[k].Protocols)
					}
				}
				list = append(list, p)
				text, err := yaml.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				w.nodePolicies(t, string(text))
			}
			var differ []string
			defer func() {
				if t.Failed() {
					t.Logf("%d differ: %q", len(differ), differ)
				}
			}()
			w.eventually(t, "packets as the words say", func() bool {
				differ = nil
				for _, from := range []*lab.Host{w.Outside(), w.Pod("x/a"), w.Pod("y/b"), w.Node("n2").Host} {
					for _, v6 := range []bool{false, true} {
						for _, port := range []int32{80, 81, 22} {
							a, b := from.IPv4(), n1.IPv4()
							if v6 {
								a, b = from.IPv6(), n1.IPv6()
							}
							f := netpol.Flow{From: a, To: b, Protocol: "TCP", Port: port}
							want := o.Host(list, o.Nodes[0], true, f, port == 22)
							if from == w.Node("n2").Host {
								want = want && o.Host(list, o.Nodes[1], false, f, false)
							}
							patience := 300 * time.Millisecond
							if want {
								patience = 3 * time.Second
							}
							if knock(from, n1.Host, v6, "tcp", uint16(port), patience) != want {
								differ = append(differ, fmt.Sprintf("%s port %d, IPv6 %t: want %t", from.Name, port, v6, want))
							}
						}
					}
				}
				return len(differ) == 0
			})
		})
	}
}

func known(list []api.NodePeer) (all []api.NodePeer) {
	for _, p := range list {
		if p.Namespaces == nil && p.Pods == nil && p.Nodes == nil && len(p.Networks) == 0 {
			p.Networks = []string{"198.51.100.0/24"}
		}
		all = append(all, p)
	}
	return all
}

func knownProtocols(list []api.NodeProtocol) (all []api.NodeProtocol) {
	for _, p := range list {
		if p.TCP == nil && p.UDP == nil && p.SCTP == nil {
			p.TCP = &api.NodeTransport{}
		}
		all = append(all, p)
	}
	return all
}
