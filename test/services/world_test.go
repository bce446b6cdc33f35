//go:build services

package services

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/probe"
)

// podPlan says which pods there are, on which node: two of app web on n1, one on n2, none on n3; ten of app ten; clients; and one of
// app host on the host's network.
func podPlan() (list []*corev1.Pod) {
	add := func(name, app, node string) {
		list = append(list, newPod(name, app, node))
	}
	add("web-1", "web", "n1")
	add("web-2", "web", "n1")
	add("web-3", "web", "n2")
	for i := range 10 {
		add(fmt.Sprintf("ten-%d", i), "ten", fmt.Sprintf("n%d", i%3+1))
	}
	add("client-1", "client", "n1")
	add("client-3", "client", "n3")
	host := newPod("host-2", "host", "n2")
	host.Spec.HostNetwork = true
	host.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 18080}, {ContainerPort: 18080, Protocol: corev1.ProtocolUDP}}
	return append(list, host)
}

func newPod(name, app, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: new(int64(5)),
			Containers: []corev1.Container{{
				Name: "web", Image: "lab",
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "other", ContainerPort: 9090}},
			}},
		},
	}
}

func (w *the) pods() error {
	for _, p := range podPlan() {
		if err := w.Client.Create(w.ctx, p); err != nil {
			return err
		}
	}
	return w.WaitReady(w.ctx)
}

// The addresses of Service number n, IPv4 first.
func clusterIPs(n int) []netip.Addr  { return pair("10.96.200.%d", "fd00:10:96::c8%02x", n) }
func externalIPs(n int) []netip.Addr { return pair("10.98.0.%d", "fd00:10:98::%x", n) }
func balancerIPs(n int) []netip.Addr { return pair("10.99.0.%d", "fd00:10:99::%x", n) }
func nodePort(n int) uint16          { return uint16(30000 + n) }

func pair(v4, v6 string, n int) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(fmt.Sprintf(v4, n)), netip.MustParseAddr(fmt.Sprintf(v6, n))}
}

func texts(addrs []netip.Addr) (list []string) {
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

// newService is Service number n of the suite, dual stack, with port 80 of each protocol to 8080 of the pods of an app; "" makes one
// without selector.
func newService(name string, n int, app string) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{
			ClusterIP: clusterIPs(n)[0].String(), ClusterIPs: texts(clusterIPs(n)),
			IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack),
			IPFamilies:     []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
		},
	}
	if app != "" {
		s.Spec.Selector = map[string]string{"app": app}
	}
	for _, p := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: portName(p), Protocol: p, Port: 80, TargetPort: intstr.FromInt32(8080)})
	}
	return s
}

func portName(p corev1.Protocol) string {
	return map[corev1.Protocol]string{corev1.ProtocolTCP: "t", corev1.ProtocolUDP: "u", corev1.ProtocolSCTP: "s"}[p]
}

// balanced makes it a LoadBalancer Service with node ports and external addresses too.
func balanced(s *corev1.Service, n int) *corev1.Service {
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Spec.ExternalIPs = texts(externalIPs(n))
	for i := range s.Spec.Ports {
		s.Spec.Ports[i].NodePort = int32(nodePort(n))
	}
	return s
}

// create makes a Service, and gives a LoadBalancer its addresses.
func (w *the) create(t *testing.T, s *corev1.Service, ingress ...netip.Addr) *corev1.Service {
	t.Helper()
	if err := w.Client.Create(w.ctx, s); err != nil {
		t.Fatal(err)
	}
	w.ingress(t, s, ingress...)
	return s
}

func (w *the) ingress(t *testing.T, s *corev1.Service, addrs ...netip.Addr) {
	t.Helper()
	var list []corev1.LoadBalancerIngress
	for _, a := range addrs {
		list = append(list, corev1.LoadBalancerIngress{IP: a.String()})
	}
	w.merge(t, s, "status", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": list}}})
}

func (w *the) merge(t *testing.T, o kube.Object, subresource string, patch map[string]any) {
	t.Helper()
	if err := w.Client.Merge(w.ctx, o, subresource, patch); err != nil {
		t.Fatal(err)
	}
}

func (w *the) delete(t *testing.T, o kube.Object) {
	t.Helper()
	if err := w.Client.Delete(w.ctx, o, nil); err != nil {
		t.Fatal(err)
	}
}

// slice is an EndpointSlice of a Service without selector, one for a family, with an endpoint for each pod that edit may change.
func (w *the) slice(s *corev1.Service, v4 bool, pods []*lab.Host, edit func(i int, e *discoveryv1.Endpoint)) *discoveryv1.EndpointSlice {
	sl := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-4", Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	if !v4 {
		sl.Name, sl.AddressType = s.Name+"-6", discoveryv1.AddressTypeIPv6
	}
	for _, p := range s.Spec.Ports {
		sl.Ports = append(sl.Ports, discoveryv1.EndpointPort{Name: new(p.Name), Protocol: new(p.Protocol), Port: new(p.TargetPort.IntVal)})
	}
	for i, p := range pods {
		a := p.IPv4()
		if !v4 {
			a = p.IPv6()
		}
		e := discoveryv1.Endpoint{Addresses: []string{a.String()}, NodeName: new(p.NodeName())}
		if edit != nil {
			edit(i, &e)
		}
		sl.Endpoints = append(sl.Endpoints, e)
	}
	return sl
}

func (w *the) createSlice(t *testing.T, sl *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	t.Helper()
	if err := w.Client.Create(w.ctx, sl); err != nil {
		t.Fatal(err)
	}
	return sl
}

// web are the pods of app web in order, ten those of app ten.
func (w *the) web() []*lab.Host { return w.Pods("default", "app=web") }
func (w *the) ten() []*lab.Host { return w.Pods("default", "app=ten") }

// protocols are those that this kernel has sockets for.
func (w *the) protocols() []string {
	if w.sctp {
		return []string{"tcp", "udp", "sctp"}
	}
	return []string{"tcp", "udp"}
}

// limit is how long an answer may take before there is none.
func (w *the) limit() time.Duration {
	if w.guest {
		return time.Second
	}
	return 500 * time.Millisecond
}

func front(a netip.Addr, port uint16, proto string) probe.Request {
	return probe.Request{To: netip.AddrPortFrom(a, port), Proto: proto}
}

// eventually waits until ask is content, and says why it isn't.
func (w *the) eventually(limit time.Duration, ask func() error) error {
	var err error
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if err = ask(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// answered gathers who answers n questions, and fails with the first that nobody did.
func answered(from *lab.Host, q probe.Request, n int) (pods []string, err error) {
	tally, err := from.Many(q, n, 1)
	if err != nil {
		return nil, err
	}
	for p := range tally.ByPod {
		pods = append(pods, p)
	}
	slices.Sort(pods)
	if !tally.OK() {
		return pods, fmt.Errorf("from %s to %s/%s: %v (%s)", from.Name, q.To, q.Proto, tally, tally.Failures[0].Err)
	}
	return pods, nil
}

// only judges that exactly these pods answer at a front, waiting until it is so.
func (w *the) only(from *lab.Host, q probe.Request, pods ...string) error {
	want := make([]string, 0, len(pods))
	for _, p := range pods {
		want = append(want, "default/"+p)
	}
	slices.Sort(want)
	// A connection that began before its Service came stays without: the kernel remembers its way. Later ones get more time, each try
	// more than the one before, since what is judged is who answers and not how busy the machine is.
	q.Timeout = w.limit()
	return w.eventually(20*time.Second, func() error {
		got, err := answered(from, q, 10*max(len(pods), 2))
		q.Timeout = min(2*q.Timeout, patience)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("from %s to %s/%s: %v answered, want %v", from.Name, q.To, q.Proto, got, want)
		}
		return err
	})
}

// nobody judges that nobody answers at a front, waiting until it is so. With at once, it must be a refusal.
func (w *the) nobody(from *lab.Host, q probe.Request, atOnce bool) error {
	q.Timeout = w.limit()
	return w.eventually(5*time.Second, func() error {
		r := from.Probe(q)
		if refusal(r, q.Proto) || !atOnce && r.Class == probe.Timeout {
			return nil
		}
		return fmt.Errorf("from %s to %s/%s: %v, want a refusal", from.Name, q.To, q.Proto, r)
	})
}
