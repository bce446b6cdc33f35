//go:build services

package services

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const fieldsGroup = "fields of Services and slices"

// both judges a case in each family.
func (w *the) both(t *testing.T, group, name string, judge func(family int) error) {
	t.Helper()
	for f, family := range []string{"IPv4", "IPv6"} {
		w.score.Judge(t, group, name+", "+family, judge(f), "")
	}
}

// names are the names of pods without the namespace.
func names(pods []*lab.Host) (list []string) {
	for _, p := range pods {
		list = append(list, strings.TrimPrefix(p.Name, "default/"))
	}
	return list
}

// TestSourceRanges lets one outside host in and keeps another out; pods have no part in it unless they are named.
func TestSourceRanges(t *testing.T) {
	w, n := shared, 30
	s := balanced(newService("ranges", n, "web"), n)
	s.Spec.LoadBalancerSourceRanges = []string{w.Outside().IPv4().String() + "/32", w.Outside().IPv6().String() + "/128", "10.77.1.0/24", "fd00:10:77::100/120"}
	w.create(t, s, balancerIPs(n)...)
	w.both(t, fieldsGroup, "loadBalancerSourceRanges lets in whom it names", func(f int) error {
		return w.only(w.Outside(), front(balancerIPs(n)[f], 80, "tcp"), names(w.web())...)
	})
	w.both(t, fieldsGroup, "loadBalancerSourceRanges lets in a member of a range", func(f int) error {
		q := front(balancerIPs(n)[f], 80, "tcp")
		q.From = member(0x0107, f == 1)
		return w.only(w.Outside(), q, names(w.web())...)
	})
	w.both(t, fieldsGroup, "loadBalancerSourceRanges keeps others out", func(f int) error {
		return w.nobody(w.Host(far), front(balancerIPs(n)[f], 80, "tcp"), false)
	})
	w.both(t, fieldsGroup, "loadBalancerSourceRanges has no part in cluster IPs", func(f int) error {
		return w.only(w.Pod("client-3"), front(clusterIPs(n)[f], 80, "tcp"), names(w.web())...)
	})
	w.merge(t, s, "", map[string]any{"spec": map[string]any{"loadBalancerSourceRanges": nil}})
	w.both(t, fieldsGroup, "loadBalancerSourceRanges that go let everybody in", func(f int) error {
		return w.only(w.Host(far), front(balancerIPs(n)[f], 80, "tcp"), names(w.web())...)
	})
	w.delete(t, s)
}

// TestHealthCheckNodePort asks what balancers ask.
func TestHealthCheckNodePort(t *testing.T) {
	w, n := shared, 31
	s := balanced(newService("health", n, "web"), n)
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	s.Spec.HealthCheckNodePort = 32031
	w.create(t, s, balancerIPs(n)...)
	for node, endpoints := range map[string]int{"n1": 2, "n2": 1, "n3": 0} {
		for _, a := range w.Node(node).Addrs() {
			err := w.eventually(5*time.Second, func() error { return w.healthy(netip.AddrPortFrom(a, 32031), "health", endpoints) })
			w.score.Judge(t, fieldsGroup, fmt.Sprintf("healthCheckNodePort of %s at %s", node, a), err, "%d endpoints", endpoints)
		}
	}
	w.ready(t, "web-3", false)
	err := w.eventually(5*time.Second, func() error {
		return w.healthy(netip.AddrPortFrom(w.Node("n2").IPv4(), 32031), "health", 0)
	})
	w.score.Judge(t, fieldsGroup, "healthCheckNodePort when the last endpoint of a node goes", err, "")
	w.ready(t, "web-3", true)
	w.delete(t, s)
	err = w.eventually(5*time.Second, func() error {
		if w.healthy(netip.AddrPortFrom(w.Node("n1").IPv4(), 32031), "health", 2) == nil {
			return fmt.Errorf("still answers")
		}
		return nil
	})
	w.score.Judge(t, fieldsGroup, "healthCheckNodePort of a Service that is gone", err, "")
}

// healthy asks from outside and compares with what kube-proxy would say (pkg/proxy/healthcheck).
func (w *the) healthy(at netip.AddrPort, service string, endpoints int) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			inside := w.Outside().Do(func() error { c, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, addr); return err })
			return c, inside
		},
	}}
	r, err := client.Get("http://" + at.String())
	if err != nil {
		return err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var got struct {
		Service             struct{ Namespace, Name string }
		LocalEndpoints      int
		ServiceProxyHealthy bool
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("%w: %q", err, text)
	}
	status := map[bool]int{true: 200, false: 503}[endpoints > 0]
	weight := r.Header.Get("X-Load-Balancing-Endpoint-Weight")
	if r.StatusCode != status || weight != fmt.Sprint(endpoints) || got.LocalEndpoints != endpoints || got.Service.Name != service ||
		got.Service.Namespace != "default" || !got.ServiceProxyHealthy {
		return fmt.Errorf("%d, weight %q: %s", r.StatusCode, weight, text)
	}
	return nil
}

// TestPublishNotReady has a Service take the one pod that isn't ready, and another not.
func TestPublishNotReady(t *testing.T) {
	w := shared
	publish := newService("publish", 32, "web")
	publish.Spec.PublishNotReadyAddresses = true
	w.create(t, publish)
	plain := w.create(t, newService("plain", 33, "web"))
	w.ready(t, "web-1", false)
	w.both(t, fieldsGroup, "publishNotReadyAddresses serves pods that are not ready", func(f int) error {
		return w.only(w.Pod("client-3"), front(clusterIPs(32)[f], 80, "tcp"), "web-1", "web-2", "web-3")
	})
	w.both(t, fieldsGroup, "pods that are not ready get nothing otherwise", func(f int) error {
		return w.only(w.Pod("client-3"), front(clusterIPs(33)[f], 80, "tcp"), "web-2", "web-3")
	})
	w.ready(t, "web-1", true)
	w.both(t, fieldsGroup, "a pod that is ready again is served again", func(f int) error {
		return w.only(w.Pod("client-3"), front(clusterIPs(33)[f], 80, "tcp"), "web-1", "web-2", "web-3")
	})
	w.delete(t, publish)
	w.delete(t, plain)
}

// TestConditions sets the conditions of three endpoints by hand, and hints. KEP-1669, KEP-4444, KEP-3015.
func TestConditions(t *testing.T) {
	w := shared
	type state struct {
		ready, serving, terminating *bool
		zone, node                  string
	}
	yes, no := new(true), new(false)
	up, down, ends := state{ready: yes, serving: yes, terminating: no}, state{ready: no, serving: no, terminating: no}, state{ready: no, serving: yes, terminating: yes}
	stopped := state{ready: no, serving: no, terminating: yes}
	zone := func(z string) state { s := up; s.zone = z; return s }
	node := func(n string) state { s := up; s.node, s.zone = n, "z2"; return s }
	for i, c := range []struct {
		name   string
		states []state
		want   []string
	}{
		{"conditions that are not said mean ready", []state{{}, {}, {}}, []string{"web-1", "web-2", "web-3"}},
		{"ready ones are preferred to terminating ones", []state{up, ends, down}, []string{"web-1"}},
		{"terminating ones that serve are the last resort", []state{down, ends, ends}, []string{"web-2", "web-3"}},
		{"terminating ones that don't serve are none", []state{stopped, ends, stopped}, []string{"web-2"}},
		{"nobody who could serve", []state{down, stopped, down}, nil},
		{"zone hints for this zone", []state{zone("z1"), zone("z3"), zone("z2")}, []string{"web-2"}},
		{"zone hints that one endpoint lacks count for nothing", []state{zone("z1"), up, zone("z3")}, []string{"web-1", "web-2", "web-3"}},
		{"zone hints that leave this zone out count for nothing", []state{zone("z1"), zone("z1"), zone("z2")}, []string{"web-1", "web-2", "web-3"}},
		{"node hints for this node", []state{node("n1"), node("n3"), node("n2")}, []string{"web-2"}},
	} {
		s := newService(fmt.Sprintf("state-%d", i), 40+i, "")
		w.create(t, s)
		for _, v4 := range []bool{true, false} {
			w.createSlice(t, w.slice(s, v4, w.web(), func(i int, e *discoveryv1.Endpoint) {
				st := c.states[i]
				e.Conditions = discoveryv1.EndpointConditions{Ready: st.ready, Serving: st.serving, Terminating: st.terminating}
				if st.zone != "" {
					e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: st.zone}}}
				}
				if st.node != "" {
					e.Hints.ForNodes = []discoveryv1.ForNode{{Name: st.node}}
				}
			}))
		}
		w.both(t, fieldsGroup, c.name, func(f int) error {
			q := front(clusterIPs(40 + i)[f], 80, "tcp")
			if len(c.want) == 0 {
				return w.nobody(w.Pod("client-3"), q, true)
			}
			return w.only(w.Pod("client-3"), q, c.want...)
		})
		w.delete(t, s)
	}
}

// TestTrafficDistribution leaves the hints to the control plane: each node has a zone of its own.
func TestTrafficDistribution(t *testing.T) {
	w := shared
	for i, d := range []string{corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode} {
		s := newService(fmt.Sprintf("close-%d", i), 50+i, "web")
		s.Spec.TrafficDistribution = &d
		w.create(t, s)
		w.both(t, fieldsGroup, "trafficDistribution "+d, func(f int) error {
			q := front(clusterIPs(50 + i)[f], 80, "tcp")
			if err := w.only(w.Pod("client-1"), q, "web-1", "web-2"); err != nil {
				return err
			}
			return w.only(w.Pod("client-3"), q, "web-1", "web-2", "web-3") // nobody is near
		})
		w.delete(t, s)
	}
}

// TestPorts has several ports, one by name, and a port number that differs between pods.
func TestPorts(t *testing.T) {
	w, n := shared, 54
	s := newService("ports", n, "web")
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "a", Port: 80, TargetPort: intstr.FromString("http")},
		{Name: "b", Port: 81, TargetPort: intstr.FromString("other")},
		{Name: "c", Port: 9090},
		{Name: "d", Port: 80, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(8080)},
	}
	w.create(t, s)
	for _, c := range []struct {
		port  uint16
		proto string
		local uint16
	}{{80, "tcp", 8080}, {81, "tcp", 9090}, {9090, "tcp", 9090}, {80, "udp", 8080}} {
		w.both(t, fieldsGroup, fmt.Sprintf("several ports, named ports: %d/%s", c.port, c.proto), func(f int) error {
			q := front(clusterIPs(n)[f], c.port, c.proto)
			if err := w.only(w.Pod("client-1"), q, names(w.web())...); err != nil {
				return err
			}
			if r := w.Pod("client-1").Probe(q); r.Local.Port() != c.local {
				return fmt.Errorf("arrived at port %d, want %d", r.Local.Port(), c.local)
			}
			return nil
		})
	}
	w.both(t, fieldsGroup, "a port that no Service has is refused", func(f int) error {
		return w.nobody(w.Pod("client-1"), front(clusterIPs(n)[f], 82, "tcp"), true)
	})
	w.delete(t, s)
}

// TestHostNetwork has an endpoint on the host's network, asked by everybody; nodes as clients are in the table.
func TestHostNetwork(t *testing.T) {
	w, n := shared, 55
	s := balanced(newService("host", n, "host"), n)
	s.Spec.Ports = slices.Clone(s.Spec.Ports[:2])
	for i := range s.Spec.Ports {
		s.Spec.Ports[i].TargetPort = intstr.FromInt32(18080)
	}
	w.create(t, s, balancerIPs(n)...)
	for name, h := range map[string]*lab.Host{
		"a pod elsewhere": w.Pod("client-3"), "its own node": w.Node("n2").Host, "another node": w.Node("n1").Host, "outside": w.Outside(),
	} {
		for _, proto := range []string{"tcp", "udp"} {
			w.both(t, fieldsGroup, fmt.Sprintf("hostNetwork endpoint asked by %s, %s", name, proto), func(f int) error {
				return w.only(h, front(balancerIPs(n)[f], 80, proto), "host-2")
			})
		}
	}
	w.delete(t, s)
}

// TestNotOurs leaves alone what another proxy serves, and addresses that nobody permitted.
func TestNotOurs(t *testing.T) {
	w := shared
	other := newService("other-proxy", 56, "web")
	other.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "another"}
	w.create(t, other)
	strict := balanced(newService("strict", 57, "web"), 57)
	strict.Spec.ExternalIPs = []string{"10.97.0.57", "fd00:10:97::57", "10.96.200.250"}
	w.create(t, strict, netip.MustParseAddr("10.97.1.57"), netip.MustParseAddr("fd00:10:97::157"))
	w.serves(t, w.Pod("client-1"), front(clusterIPs(57)[0], 80, "tcp"), 3)
	silent := func(name, addr string) {
		w.score.Judge(t, fieldsGroup, name+": "+addr, w.silent(w.Pod("client-1"), netip.MustParseAddr(addr)), "")
	}
	silent("service-proxy-name leaves it to another", clusterIPs(56)[0].String())
	for _, a := range strict.Spec.ExternalIPs {
		silent("an external IP outside of the ranges", a)
	}
	silent("a balancer's address outside of the ranges", "10.97.1.57")
	silent("a balancer's address outside of the ranges", "fd00:10:97::157")
	proxied := balanced(newService("proxied", 58, "web"), 58)
	w.create(t, proxied)
	w.merge(t, proxied, "status", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{
		"ingress": []corev1.LoadBalancerIngress{{IP: balancerIPs(58)[0].String(), IPMode: new(corev1.LoadBalancerIPModeProxy)}},
	}}})
	w.serves(t, w.Pod("client-1"), front(clusterIPs(58)[0], 80, "tcp"), 3)
	silent("ipMode Proxy leaves it to the balancer", balancerIPs(58)[0].String())
	for _, s := range []*corev1.Service{other, strict, proxied} {
		w.delete(t, s)
	}
}

// silent judges that no pod answers at an address.
func (w *the) silent(from *lab.Host, a netip.Addr) error {
	q := front(a, 80, "tcp")
	q.Timeout = 200 * time.Millisecond
	for range 3 {
		if r := from.Probe(q); r.OK() {
			return fmt.Errorf("%v", r)
		}
	}
	return nil
}

// TestHairpin has a pod ask the Service whose only endpoint it is.
func TestHairpin(t *testing.T) {
	w, n := shared, 59
	s := balanced(newService("hairpin", n, ""), n)
	s.Annotations["kube-router.io/service.hairpin"] = ""
	w.create(t, s)
	pod := w.Pod("web-1")
	for _, v4 := range []bool{true, false} {
		w.createSlice(t, w.slice(s, v4, []*lab.Host{pod}, nil))
	}
	for _, proto := range w.protocols() {
		w.both(t, fieldsGroup, "hairpin by annotation, "+proto, func(f int) error {
			return w.only(pod, front(clusterIPs(n)[f], 80, proto), "web-1")
		})
	}
	w.both(t, fieldsGroup, "hairpin sees another source than its own", func(f int) error {
		r := pod.Probe(probe.Request{To: netip.AddrPortFrom(clusterIPs(n)[f], 80)})
		if !r.OK() || slices.Contains(pod.Addrs(), r.Client.Addr()) {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	w.delete(t, s)
}
