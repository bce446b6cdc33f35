package operate

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab/apiserver"
)

// aDay is how many events churn makes: one for each second of 24 hours. KUBE_ROUTER_CHURN makes it another
// number of hours.
const aDay = 86400

// churner changes a cluster at random.
type churner struct {
	*node
	rnd    *rand.Rand
	events int
}

// The cluster's size while it churns.
const (
	churnServices = 200
	churnPods     = 200
	churnPolicies = 30
	churnNodes    = 50
)

// event makes one change: an object is made, changed or removed.
func (c *churner) event() {
	c.t.Helper()
	c.events++
	var o apiserver.Object
	switch i := c.rnd.IntN(100); {
	case i < 10:
		o = c.service(c.rnd.IntN(churnServices))
	case i < 60:
		o = c.slice(c.rnd.IntN(churnServices))
	case i < 85:
		o = c.pod(c.rnd.IntN(churnPods))
	case i < 92:
		o = c.policy(c.rnd.IntN(churnPolicies))
	default:
		o = c.far(c.rnd.IntN(churnNodes))
	}
	if c.rnd.IntN(4) == 0 {
		c.remove(o)
		return
	}
	c.check(c.api.Store.Put(o))
}

// remove removes an object that may not be there.
func (c *churner) remove(o apiserver.Object) {
	_ = c.api.Store.Remove(o, o.GetNamespace(), o.GetName())
}

func meta(kind string, i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "churn", Name: fmt.Sprintf("%s-%d", kind, i)}
}

func (c *churner) service(i int) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta("svc", i)}
	s.Spec.ClusterIP = fmt.Sprintf("10.96.1.%d", i)
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	s.Spec.Selector = map[string]string{"app": s.Name}
	for p := range 1 + c.rnd.IntN(3) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Name: fmt.Sprint("p", p), Port: int32(80 + p), Protocol: []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}[p%2],
		})
	}
	if c.rnd.IntN(5) == 0 {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	if c.rnd.IntN(8) == 0 {
		s.Annotations = map[string]string{"kube-router.io/service.scheduler": "nonsense"}
	}
	return s
}

func (c *churner) slice(i int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta("slice", i), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: meta("svc", i).Name}
	s.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: time.Now().Format(time.RFC3339Nano)}
	for p := range 3 {
		name, port, proto := fmt.Sprint("p", p), int32(8080+p), []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}[p%2]
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &proto})
	}
	for range c.rnd.IntN(6) {
		ready := c.rnd.IntN(5) > 0
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.244.%d.%d", 1+c.rnd.IntN(churnNodes), 10+c.rnd.IntN(churnPods))},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return s
}

func (c *churner) pod(i int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta("pod", i)}
	p.Labels = map[string]string{"app": fmt.Sprint("a", c.rnd.IntN(10)), "tier": fmt.Sprint("t", c.rnd.IntN(3))}
	p.Spec.NodeName = []string{"n1", "far-1"}[i%2]
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	ip := fmt.Sprintf("10.244.1.%d", 10+i)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	return p
}

func (c *churner) policy(i int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: meta("np", i)}
	p.Spec.PodSelector.MatchLabels = map[string]string{"app": fmt.Sprint("a", c.rnd.IntN(10))}
	port := intstr.FromInt32(int32(1000 + c.rnd.IntN(10)))
	p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
		Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
		From: []networkingv1.NetworkPolicyPeer{
			{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": fmt.Sprint("t", c.rnd.IntN(3))}}},
			{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("192.168.%d.0/24", c.rnd.IntN(200))}},
		},
	}}
	return p
}

func (c *churner) far(i int) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("far-", i)}}
	n.Spec.PodCIDR = fmt.Sprintf("10.245.%d.0/24", i)
	n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.31.77.%d", 100+c.rnd.IntN(100))}}
	return n
}

// drain removes everything that churn made.
func (c *churner) drain() {
	for i := range churnServices {
		c.remove(c.service(i))
		c.remove(c.slice(i))
	}
	for i := range churnPods {
		c.remove(c.pod(i))
	}
	for i := range churnPolicies {
		c.remove(c.policy(i))
	}
	for i := range churnNodes {
		c.remove(c.far(i))
	}
}

// size is what the daemon holds.
type size struct{ heap, goroutines, files float64 }

var heapInUse = regexp.MustCompile(`# HeapInuse = (\d+)`)

// size measures the daemon a few times and takes the least: connections that idle out are no growth.
func (c *churner) size() size {
	c.t.Helper()
	least := c.sizeNow()
	for range 10 {
		time.Sleep(300 * time.Millisecond)
		s := c.sizeNow()
		least = size{min(s.heap, least.heap), min(s.goroutines, least.goroutines), min(s.files, least.files)}
	}
	return least
}

// sizeNow measures the daemon after a garbage collection.
func (c *churner) sizeNow() size {
	c.t.Helper()
	heap := c.get("http://127.0.0.1:6060/debug/pprof/heap?gc=1&debug=1")
	found := heapInUse.FindStringSubmatch(heap)
	if found == nil {
		c.t.Fatal("no heap in the profile")
	}
	bytes, err := strconv.ParseFloat(found[1], 64)
	c.check(err)
	metrics := c.get("http://127.0.0.1:8080/metrics")
	return size{bytes, value(c.t, metrics, "go_goroutines"), value(c.t, metrics, "process_open_fds")}
}

// value reads one metric without labels.
func value(t *testing.T, metrics, name string) float64 {
	t.Helper()
	for _, line := range strings.Split(metrics, "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// get asks the daemon over HTTP, on a socket of the node's own namespace.
func (n *node) get(url string) string {
	n.t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = n.space.Do(func() (err error) {
				c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}}
	resp, err := client.Get(url)
	n.check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	n.check(err)
	return string(text)
}

// calm waits until the daemon has done everything and nothing fails.
func (c *churner) calm() {
	c.t.Helper()
	c.eventually("calm", func() error {
		text, err := c.show("tables")
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
			if !strings.Contains(line, "settled") {
				return fmt.Errorf("%s", text)
			}
		}
		failing, err := c.show("failing")
		if lines := strings.Count(strings.TrimSpace(failing), "\n"); err != nil || lines > 0 {
			return fmt.Errorf("%v %s", err, failing)
		}
		return nil
	})
}

// A day's events leave no trace: not in the daemon's memory, not in its tables, not in the kernel.
func TestChurn(t *testing.T) {
	events := aDay
	if hours := os.Getenv("KUBE_ROUTER_CHURN"); hours != "" {
		h, err := strconv.ParseFloat(hours, 64)
		if err != nil {
			t.Fatal(err)
		}
		events = int(h * 3600)
	}
	n := newNode(t, "--run-firewall=true", "--overlay-encap", "vxlan", "--node-routes", "api", "--enable-pprof", "--metrics-port", "8080")
	c := &churner{node: n, rnd: rand.New(rand.NewPCG(1, 2))}
	c.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: churn}\n")
	n.start()
	c.calm()
	before := n.state()
	// The first part fills maps and buffers to the size that the churn needs.
	c.round(events / 6)
	c.drain()
	c.calm()
	small := c.size()
	begin := time.Now()
	c.round(events - events/6)
	took := time.Since(begin)
	c.drain()
	c.calm()
	large := c.size()
	t.Logf("%d events, the last %d in %s: heap %.1f -> %.1f MB, goroutines %v -> %v, open files %v -> %v", c.events,
		events-events/6, took.Round(time.Millisecond), small.heap/1e6, large.heap/1e6, small.goroutines, large.goroutines, small.files, large.files)
	if large.heap > small.heap*1.25+4e6 || large.goroutines > small.goroutines+5 || large.files > small.files+5 {
		t.Error("the daemon has grown")
	}
	same(t, "churn", before, n.state())
	if metrics := c.get("http://127.0.0.1:8080/metrics"); !strings.Contains(metrics, "kubeproxy_network_programming_duration_seconds_count") ||
		value(t, metrics, "kubeproxy_network_programming_duration_seconds_count") == 0 {
		t.Error("no programming latency was observed")
	}
}

// round makes events, with an outage of the API server in the middle.
func (c *churner) round(events int) {
	c.t.Helper()
	for i := range events {
		c.event()
		if i == events/2 {
			c.api.SetDown(true)
			time.Sleep(300 * time.Millisecond)
			c.api.SetDown(false)
		}
		// The store is faster than any API server: let the watch keep up, as a slower one would.
		if i%500 == 499 {
			time.Sleep(20 * time.Millisecond)
		}
	}
}
