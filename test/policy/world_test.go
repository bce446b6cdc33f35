//go:build policy

package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// prepare makes nine pods a, b, c in namespaces x, y, z over two nodes.
func (w *the) prepare() error {
	for _, n := range w.Nodes() { // the kernel tells one client of six unreachable ports, and then of one a second
		if err := n.Space().Sysctl("net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"); err != nil {
			return err
		}
	}
	for i, ns := range netpol.Namespaces() {
		if err := w.Client.Create(w.ctx, newNamespace(ns)); err != nil {
			return err
		}
		for j, name := range netpol.Pods() {
			if err := w.Client.Create(w.ctx, newPod(ns, name, fmt.Sprintf("n%d", 1+(i+j)%2))); err != nil {
				return err
			}
		}
	}
	if err := w.Outside().Do(func() error {
		_, err := podserver.Listen(podserver.Config{Pod: "outside", TCP: []uint16{80, 81}, UDP: []uint16{80, 81}, SCTP: []uint16{80, 81}})
		return err
	}); err != nil {
		return err
	}
	return w.WaitReady(w.ctx)
}

func newNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"ns": name, "kubernetes.io/metadata.name": name}}}
}

func newPod(ns, name, node string) *corev1.Pod {
	port := func(name string, n int32, proto corev1.Protocol) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: n, Protocol: proto}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"pod": name}},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: new(int64(0)),
			Containers: []corev1.Container{{Name: "c", Image: "lab", Ports: []corev1.ContainerPort{
				port("web", 80, corev1.ProtocolTCP), port("alt", 81, corev1.ProtocolTCP),
				port("web", 81, corev1.ProtocolUDP), port("alt", 80, corev1.ProtocolUDP),
				port("web", 80, corev1.ProtocolSCTP), port("alt", 81, corev1.ProtocolSCTP),
			}}},
		},
	}
}

// oracle is what the API's words say about what the API holds now.
func (w *the) oracle(policies []*networkingv1.NetworkPolicy) *netpol.Oracle {
	o := &netpol.Oracle{Namespaces: map[string]*corev1.Namespace{}, Policies: policies, Pods: kube.All[corev1.Pod](w.Watch.Pods, "")}
	for _, ns := range netpol.Namespaces() {
		o.Namespaces[ns] = newNamespace(ns)
	}
	return o
}

// place is somebody who asks or is asked.
type place struct {
	name string
	do   func(func() error) error
	v4   netip.Addr
	v6   netip.Addr
}

func (w *the) places() []place {
	var list []place
	for _, ns := range netpol.Namespaces() {
		for _, name := range netpol.Pods() {
			h := w.Pod(ns + "/" + name)
			list = append(list, place{ns + "/" + name, h.Do, h.IPv4(), h.IPv6()})
		}
	}
	o := w.Outside()
	return append(list, place{"outside", o.Do, o.IPv4(), o.IPv6()})
}

// mismatch is a flow on which packets and words disagree.
type mismatch struct {
	flow netpol.Flow
	want bool
	got  probe.Result
}

// String tells who could or could not talk to whom.
func (m mismatch) String() string {
	want := "denied"
	if m.want {
		want = "allowed"
	}
	return fmt.Sprintf("%s → %s %s/%d should be %s: %s", m.flow.From, m.flow.To, m.flow.Protocol, m.flow.Port, want, m.got)
}

// compare asks every pod from every pod, on both ports and protocols and in both families.
func (w *the) compare(o *netpol.Oracle) []mismatch {
	var mu sync.Mutex
	var bad []mismatch
	var all sync.WaitGroup
	places := w.places()
	for _, from := range places {
		all.Go(func() {
			for _, to := range places {
				if from.name == to.name || from.name == "outside" && to.name != "outside" && !routable(to) {
					continue
				}
				for _, m := range w.pair(o, from, to) {
					mu.Lock()
					bad = append(bad, m)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	slices.SortFunc(bad, func(a, b mismatch) int { return strings.Compare(a.String(), b.String()) })
	return bad
}

// routable: nothing outside has a route to pods here, and pods' packets leave with their node's address.
func routable(place) bool { return false }

func (w *the) pair(o *netpol.Oracle, from, to place) (bad []mismatch) {
	for _, family := range [][2]netip.Addr{{from.v4, to.v4}, {from.v6, to.v6}} {
		for _, proto := range protocols(o.Policies) {
			for _, port := range []int32{80, 81} {
				f := netpol.Flow{From: family[0], To: family[1], Protocol: proto, Port: port}
				want, patience := o.Allowed(f), 400*time.Millisecond
				if want {
					patience = 3 * time.Second // a slow machine is no refusal
				}
				if got := ask(from, f, patience); got.OK() != want {
					bad = append(bad, mismatch{f, want, got})
				}
			}
		}
	}
	return bad
}

// protocols are those that are tried: SCTP where the kernel has it and a policy speaks of it, for its refusals
// are slow: the kernel takes an ICMP error for a passing one.
func protocols(policies []*networkingv1.NetworkPolicy) []corev1.Protocol {
	list := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}
	speaks := func(p networkingv1.NetworkPolicyPort) bool {
		return p.Protocol != nil && *p.Protocol == corev1.ProtocolSCTP
	}
	for _, p := range policies {
		for _, r := range p.Spec.Ingress {
			if slices.ContainsFunc(r.Ports, speaks) && hasSCTP() {
				return append(list, corev1.ProtocolSCTP)
			}
		}
		for _, r := range p.Spec.Egress {
			if slices.ContainsFunc(r.Ports, speaks) && hasSCTP() {
				return append(list, corev1.ProtocolSCTP)
			}
		}
	}
	return list
}

func hasSCTP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

func ask(from place, f netpol.Flow, timeout time.Duration) (r probe.Result) {
	q := probe.Request{To: netip.AddrPortFrom(f.To, uint16(f.Port)), Proto: strings.ToLower(string(f.Protocol)), Timeout: timeout}
	if err := from.do(func() error { r = probe.Once(q); return nil }); err != nil {
		return probe.Result{Class: probe.Failed, Err: err.Error()}
	}
	return r
}

// holds applies policies, waits until packets agree with the API's words, and takes the policies away again.
func (w *the) holds(t *testing.T, policies []*networkingv1.NetworkPolicy) *netpol.Oracle {
	t.Helper()
	return w.holdsWith(t, policies, nil)
}

// holdsWith is holds beside ClusterNetworkPolicies that are there.
func (w *the) holdsWith(t *testing.T, policies []*networkingv1.NetworkPolicy, cluster []*clusterapi.ClusterNetworkPolicy) *netpol.Oracle {
	t.Helper()
	for _, p := range policies {
		if err := w.Client.Create(w.ctx, p.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Client.Delete(w.ctx, p.DeepCopy(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	o := w.oracle(policies)
	o.Cluster = cluster
	enforced := o.Enforced()
	deadline := time.Now().Add(8 * time.Second)
	for again := 3; ; again-- { // one look may take longer than the deadline in the guest
		bad := w.compare(enforced)
		if len(bad) == 0 {
			return o
		}
		if time.Now().After(deadline) && again <= 0 {
			for _, m := range bad[:min(len(bad), 10)] {
				t.Error(m)
			}
			t.Fatalf("%d flows differ", len(bad))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// parse reads policies from YAML, several to a text.
func parse(t *testing.T, text string) (list []*networkingv1.NetworkPolicy) {
	t.Helper()
	for _, doc := range strings.Split(text, "\n---\n") {
		p := &networkingv1.NetworkPolicy{}
		if err := yaml.UnmarshalStrict([]byte(doc), p); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		p.APIVersion, p.Kind = "networking.k8s.io/v1", "NetworkPolicy"
		if p.Name == "" {
			p.Name = fmt.Sprintf("p%d", len(list))
		}
		if p.Namespace == "" {
			p.Namespace = "x"
		}
		list = append(list, p)
	}
	return list
}
