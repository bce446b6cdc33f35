package lab_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// soon is how long after the API's event a removed endpoint may still be given a connection.
const soon = 50 * time.Millisecond

// TestAnEndpointThatGoesGetsNothingMore changes the endpoints of a Service without selector by hand, so that
// the moment of the API's event is known, under a steady load of new connections.
func TestAnEndpointThatGoesGetsNothingMore(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	pods := l.Pods("default", "app=web")
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "manual"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.81",
			Ports:     []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if err := l.Client.Create(ctx, service); err != nil {
		t.Fatal(err)
	}
	slice := manualSlice(pods)
	if err := l.Client.Create(ctx, slice); err != nil {
		t.Fatal(err)
	}
	client, front := l.Pod("client"), web("10.96.0.81")
	serves(t, ctx, l, client, front)

	stop := make(chan struct{})
	results := collect(t, client, front, stop)
	update := func(keep []*lab.Host) time.Time {
		t.Helper()
		slice.Endpoints = manualSlice(keep).Endpoints
		if err := l.Client.Update(ctx, slice); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	time.Sleep(300 * time.Millisecond)
	removed := update(pods[1:])
	time.Sleep(500 * time.Millisecond)
	added := update(pods)
	time.Sleep(500 * time.Millisecond)
	close(stop)
	judge(t, <-results, pods[0].Name, removed, added)
}

func manualSlice(pods []*lab.Host) *discoveryv1.EndpointSlice {
	port, tcp := int32(8080), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "manual-1", Labels: map[string]string{discoveryv1.LabelServiceName: "manual"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port, Protocol: &tcp}},
	}
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{p.IPv4().String()}})
	}
	return s
}

// collect makes connections from four threads until stop is closed, and gives all results.
func collect(t *testing.T, from *lab.Host, q probe.Request, stop <-chan struct{}) <-chan []probe.Result {
	all := make(chan []probe.Result, 1)
	var mu sync.Mutex
	var list []probe.Result
	var threads sync.WaitGroup
	for range 4 {
		threads.Go(func() {
			err := from.Do(func() error {
				for {
					select {
					case <-stop:
						return nil
					default:
					}
					r := probe.Once(q)
					mu.Lock()
					list = append(list, r)
					mu.Unlock()
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	go func() { threads.Wait(); all <- list }()
	return all
}

// judge looks at when the endpoint that was removed and added again was given connections.
func judge(t *testing.T, results []probe.Result, pod string, removed, added time.Time) {
	var late, share, after int
	var last time.Duration
	for _, r := range results {
		if !r.OK() {
			t.Errorf("%s after the removal: %v", r.At.Sub(removed), r)
		}
		gone := r.At.After(removed) && r.At.Before(added)
		if r.Pod == pod && gone {
			last = max(last, r.At.Sub(removed))
			if last > soon {
				late++
			}
		}
		if r.At.After(added.Add(soon)) {
			after++
			if r.Pod == pod {
				share++
			}
		}
	}
	t.Logf("%d connections; the last to the removed endpoint began %s after the API's event", len(results), last)
	if late > 0 {
		t.Errorf("%d connections to the removed endpoint more than %s after the API's event", late, soon)
	}
	t.Logf("%d of %d connections to the endpoint added again", share, after)
	if share*3 < after/2 || share*3 > after*2 {
		t.Errorf("the endpoint added again got %d of %d connections; its share is a third", share, after)
	}
}

// TestAServiceWithoutEndpointsRefusesAtOnce asks one from a pod, from a node and from outside.
func TestAServiceWithoutEndpointsRefusesAtOnce(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	manifest := `{apiVersion: v1, kind: Service, metadata: {name: empty}, spec: {type: NodePort, clusterIP: 10.96.0.82,
		selector: {app: nobody}, ports: [{name: t, port: 80, nodePort: 30082}, {name: u, port: 80, protocol: UDP, nodePort: 30082}]}}`
	if err := l.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	node := l.Node("n1")
	for _, c := range []struct {
		from *lab.Host
		to   netip.AddrPort
	}{
		{l.Pod("client"), netip.MustParseAddrPort("10.96.0.82:80")},
		{node.Host, netip.MustParseAddrPort("10.96.0.82:80")},
		{l.Outside(), netip.AddrPortFrom(node.IPv4(), 30082)},
	} {
		for _, proto := range []string{"tcp", "udp"} {
			eventually(t, ctx, l, "a refusal", 5*time.Second, func() error {
				// A datagram of the node itself is refused before it leaves, as "not permitted".
				r := c.from.Probe(probe.Request{To: c.to, Proto: proto})
				own := proto == "udp" && c.from == node.Host && r.Class == probe.Prohibited
				if !own && r.Class != probe.Refused || r.Took > 500*time.Millisecond {
					return fmt.Errorf("%s from %s to %s: %v after %s", proto, c.from.Name, c.to, r, r.Took)
				}
				return nil
			})
		}
	}
}
