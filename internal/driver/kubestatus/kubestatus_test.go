package kubestatus

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/row"
)

// world is an API server, the fake or the lab's, with a client to look behind the tables.
type world struct {
	t      *testing.T
	config *rest.Config
	core   rest.Interface
	events rest.Interface
}

// worlds runs a test on the fake and on the lab's API server, which defaults and validates.
func worlds(t *testing.T, f func(*world)) {
	t.Run("fake", func(t *testing.T) { fake := NewFake(); f(newWorld(t, fake.Config(), fake)) })
	t.Run("lab", func(t *testing.T) {
		s, err := apiserver.New(apiserver.Options{})
		check(t, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, l) }()
		t.Cleanup(func() { cancel(); check(t, <-done) })
		f(newWorld(t, &rest.Config{Host: "http://" + l.Addr().String()}, nil))
	})
}

// newWorld puts a node and two Services into an API server.
func newWorld(t *testing.T, c *rest.Config, fake *Fake) *world {
	w := &world{t: t, config: c}
	var err error
	w.core, err = client(c, "/api", corev1.SchemeGroupVersion)
	check(t, err)
	w.events, err = client(c, "/apis", eventsv1.SchemeGroupVersion)
	check(t, err)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"},
	}}}
	service := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}}}
	}
	if fake != nil {
		fake.Nodes["n1"] = node
		fake.Services["default/web"], fake.Services["default/dns"] = service("web"), service("dns")
		return w
	}
	check(t, w.core.Post().Resource("nodes").Body(node).Do(t.Context()).Error())
	for _, s := range []string{"web", "dns"} {
		check(t, w.core.Post().Namespace("default").Resource("services").Body(service(s)).Do(t.Context()).Error())
	}
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// ingress are the addresses that a Service shows.
func (w *world) ingress(name string) string {
	var s corev1.Service
	check(w.t, w.core.Get().Namespace("default").Resource("services").Name(name).Do(w.t.Context()).Into(&s))
	var list []string
	for _, in := range s.Status.LoadBalancer.Ingress {
		list = append(list, in.IP+in.Hostname)
	}
	return strings.Join(list, " ")
}

// uid is that of a Service.
func (w *world) uid(name string) string {
	var s corev1.Service
	check(w.t, w.core.Get().Namespace("default").Resource("services").Name(name).Do(w.t.Context()).Into(&s))
	return string(s.UID)
}

func name(s string) row.KubeName { return row.KubeName{Namespace: "default", Name: s} }

func TestIngress(t *testing.T) {
	worlds(t, func(w *world) {
		table, err := NewIngress(w.config, oursOrNone)
		check(w.t, err)
		ctx := w.t.Context()
		web := row.KubeIngress{Service: name("web"), UID: w.uid("web"), V4: netip.MustParseAddr("203.0.113.7"), V6: netip.MustParseAddr("2001:db8::7")}
		dns := row.KubeIngress{Service: name("dns"), UID: w.uid("dns"), V6: netip.MustParseAddr("2001:db8::8")}
		for range 2 { // the second time everything is there already
			check(w.t, table.Apply(ctx, []row.Change[row.KubeName, row.KubeIngress]{{Key: web.Key(), New: &web}, {Key: dns.Key(), New: &dns}}))
			have, failure := table.Dump(ctx)
			check(w.t, failure)
			equal(w.t, map[row.KubeName]row.KubeIngress{name("web"): web, name("dns"): dns}, have)
		}
		equal(w.t, "203.0.113.7 2001:db8::7", w.ingress("web"))

		w.foreign("dns", corev1.LoadBalancerIngress{IP: "198.51.100.1", IPMode: new(corev1.LoadBalancerIPModeProxy)}, corev1.LoadBalancerIngress{Hostname: "lb.example.com"},
			corev1.LoadBalancerIngress{IP: "198.51.100.2"}, corev1.LoadBalancerIngress{IP: "2001:db8::8"})
		have, err := table.Dump(ctx)
		check(w.t, err)
		stale := dns
		stale.V4 = netip.MustParseAddr("198.51.100.2") // of a former range: who wants no more than dns must see a difference
		equal(w.t, stale, have[dns.Key()])
		moved := row.KubeIngress{Service: name("dns"), V4: netip.MustParseAddr("203.0.113.9")}
		check(w.t, table.Apply(ctx, []row.Change[row.KubeName, row.KubeIngress]{{Key: web.Key(), Old: &web}, {Key: dns.Key(), Old: &dns, New: &moved}}))
		equal(w.t, "", w.ingress("web"))
		equal(w.t, "198.51.100.1 lb.example.com 203.0.113.9", w.ingress("dns"))

		gone := row.KubeIngress{Service: name("gone"), V4: netip.MustParseAddr("203.0.113.10")}
		check(w.t, table.Apply(ctx, []row.Change[row.KubeName, row.KubeIngress]{{Key: gone.Key(), Old: &gone}}))
		err = table.Apply(ctx, []row.Change[row.KubeName, row.KubeIngress]{{Key: gone.Key(), New: &gone}, {Key: web.Key(), New: &web}})
		var failed row.Failed[row.KubeName]
		if !errors.As(err, &failed) || len(failed) != 1 || failed[gone.Key()] == nil {
			w.t.Errorf("want the missing Service alone to fail, got %v", err)
		}
		equal(w.t, "203.0.113.7 2001:db8::7", w.ingress("web"))
	})
}

func oursOrNone(class string) bool { return class == "" || class == "kube-router" }

// TestAnothersClass: --loadbalancer-ip-range must hold what other programs give too, or it is not served. So an
// address in it may be another's, and what we don't want of ours is taken away.
func TestAnothersClass(t *testing.T) {
	fake := NewFake()
	w := newWorld(t, fake.Config(), fake)
	other := "example.com/other"
	fake.Services["default/web"].Spec.LoadBalancerClass = &other
	w.foreign("web", corev1.LoadBalancerIngress{IP: "203.0.113.7"})
	table, err := NewIngress(w.config, oursOrNone)
	check(t, err)
	have, err := table.Dump(t.Context())
	check(t, err)
	equal(t, map[row.KubeName]row.KubeIngress{}, have)
	before := row.KubeIngress{Service: name("web"), V4: netip.MustParseAddr("203.0.113.7")} // of a Service of this name that has gone
	check(t, table.Apply(t.Context(), []row.Change[row.KubeName, row.KubeIngress]{{Key: before.Key(), Old: &before}}))
	equal(t, "203.0.113.7", w.ingress("web"))
}

// foreign writes a status as another program would.
func (w *world) foreign(name string, list ...corev1.LoadBalancerIngress) {
	var s corev1.Service
	check(w.t, w.core.Get().Namespace("default").Resource("services").Name(name).Do(w.t.Context()).Into(&s))
	s.Status.LoadBalancer.Ingress = list
	check(w.t, w.core.Put().Namespace("default").Resource("services").Name(name).SubResource("status").Body(&s).Do(w.t.Context()).Error())
}

func (w *world) conditions() string {
	var n corev1.Node
	check(w.t, w.core.Get().Resource("nodes").Name("n1").Do(w.t.Context()).Into(&n))
	var list []string
	for _, c := range n.Status.Conditions {
		list = append(list, string(c.Type)+"="+string(c.Status)+":"+c.Reason)
	}
	return strings.Join(list, " ")
}

func TestConditions(t *testing.T) {
	worlds(t, func(w *world) {
		table, err := NewConditions(w.config, "n1")
		check(w.t, err)
		ctx := w.t.Context()
		ready := row.KubeCondition{Node: "n1", Type: "NetworkUnavailable", Message: "routes are in place"}
		have, err := table.Dump(ctx)
		check(w.t, err)
		equal(w.t, 0, len(have))
		for range 2 {
			check(w.t, table.Apply(ctx, []row.Change[row.KubeConditionKey, row.KubeCondition]{{Key: ready.Key(), New: &ready}}))
			have, err = table.Dump(ctx)
			check(w.t, err)
			equal(w.t, map[row.KubeConditionKey]row.KubeCondition{ready.Key(): ready}, have)
		}
		got := w.conditions()
		if !strings.Contains(got, "Ready=True:KubeletReady") || !strings.Contains(got, "NetworkUnavailable=False:KubeRouterReady") {
			w.t.Errorf("conditions %s", got)
		}
		check(w.t, table.Apply(ctx, []row.Change[row.KubeConditionKey, row.KubeCondition]{{Key: ready.Key(), Old: &ready}}))
		equal(w.t, "Ready=True:KubeletReady", w.conditions())

		other := row.KubeCondition{Node: "n2", Type: "NetworkUnavailable"}
		if err := table.Apply(ctx, []row.Change[row.KubeConditionKey, row.KubeCondition]{{Key: other.Key(), New: &other}}); err == nil {
			w.t.Error("a condition of a missing node was written")
		}
		check(w.t, table.Apply(ctx, []row.Change[row.KubeConditionKey, row.KubeCondition]{{Key: other.Key(), Old: &other}}))
	})
}

func TestEvents(t *testing.T) {
	worlds(t, func(w *world) {
		ctx := w.t.Context()
		remark := row.KubeEvent{Kind: "Service", Namespace: "default", Name: "web", UID: "u1", Note: "spec.ports[0].port: ignored: 0 is not a port from 1 to 65535"}
		long := row.KubeEvent{Kind: "Node", Name: strings.Repeat("n", 250), Note: strings.Repeat("ü", 1000)}
		for _, node := range []string{"n1", "n2"} { // two nodes find the same
			table, err := NewEvents(w.config, node)
			check(w.t, err)
			check(w.t, table.Apply(ctx, []row.Change[row.KubeEvent, row.KubeEvent]{{Key: remark, New: &remark}, {Key: long, New: &long}}))
			check(w.t, table.Apply(ctx, []row.Change[row.KubeEvent, row.KubeEvent]{{Key: remark, Old: &remark}}))
		}
		table, err := NewEvents(w.config, "n1")
		check(w.t, err)
		e := table.event(remark)
		equal(w.t, "web.", e.Name[:4])
		if err = w.events.Post().Namespace("default").Resource("events").Body(e).Do(ctx).Error(); err == nil {
			w.t.Error("the event was not there")
		}
		text, err := json.Marshal(table.event(long))
		check(w.t, err)
		if note := table.event(long).Note; len(note) > 1024 || !strings.HasSuffix(note, "...") || len(text) == 0 {
			w.t.Errorf("note of %d bytes", len(note))
		}
	})
}

// A failing request fails its row and no other.
func TestPartialFailure(t *testing.T) {
	fake := NewFake()
	w := newWorld(t, fake.Config(), fake)
	fake.Refuse = func(r *http.Request) bool { return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/web/") }
	table, err := NewIngress(w.config, oursOrNone)
	check(t, err)
	web, dns := row.KubeIngress{Service: name("web"), V4: netip.MustParseAddr("203.0.113.7")}, row.KubeIngress{Service: name("dns"), V4: netip.MustParseAddr("203.0.113.8")}
	err = table.Apply(t.Context(), []row.Change[row.KubeName, row.KubeIngress]{{Key: web.Key(), New: &web}, {Key: dns.Key(), New: &dns}})
	var failed row.Failed[row.KubeName]
	if !errors.As(err, &failed) || len(failed) != 1 || failed[web.Key()] == nil {
		t.Errorf("want web alone to fail, got %v", err)
	}
	equal(t, "203.0.113.8", w.ingress("dns"))
}

func TestRowText(t *testing.T) {
	for want, r := range map[string]interface{ String() string }{
		"service default/web external-ip 203.0.113.7,2001:db8::7": row.KubeIngress{Service: name("web"), V4: netip.MustParseAddr("203.0.113.7"), V6: netip.MustParseAddr("2001:db8::7")},
		"node n1 condition NetworkUnavailable False ok":           row.KubeCondition{Node: "n1", Type: "NetworkUnavailable", Message: "ok"},
		"event Warning Ignored service a/web: bad":                row.KubeEvent{Kind: "Service", Namespace: "a", Name: "web", Note: "bad"},
		"event Warning Ignored node n1: bad":                      row.KubeEvent{Kind: "Node", Name: "n1", Note: "bad"},
	} {
		equal(t, want, r.String())
	}
}
