package kube

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/lab/apiserver"
	"kube-router/internal/model"
)

// pool converts an AddressPool as it comes from the API server.
func pool(t *testing.T, text string) *model.Pool {
	t.Helper()
	r, _ := resourceOf(model.KindPool)
	o, ok := r.convert(decode[api.Raw](t, text))
	if !ok {
		t.Fatal("not converted")
	}
	return o.(*model.Pool)
}

func TestPool(t *testing.T) {
	p := pool(t, `
metadata: {name: a, uid: u, generation: 3, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  addresses: [192.0.2.0/24, 198.51.100.10-198.51.100.20, "2001:db8::/64"]
  exclude: [192.0.2.7, 192.0.2.128/25]
  uses: [LoadBalancer, Egress]
  autoAssign: false
  avoidEdges: false
  priority: 7
  namespaceSelector: {matchLabels: {team: x}}
`)
	same(t, "[192.0.2.0/24 198.51.100.10-198.51.100.20 2001:db8::/64] [192.0.2.7 192.0.2.128/25]", fmt.Sprint(p.Ranges, " ", p.Exclude))
	if !p.Balancer || !p.Egress || p.AutoAssign || p.AvoidEdges || p.Priority != 7 || p.Generation != 3 || len(p.Remarks) > 0 ||
		!p.Namespaces.Matches(map[string]string{"team": "x"}) || p.Namespaces.Matches(nil) || !p.Services.Matches(nil) {
		t.Errorf("%+v", p)
	}
	d := pool(t, `{metadata: {name: a}, spec: {addresses: [192.0.2.0/24]}}`)
	if !d.Balancer || d.Egress || !d.AutoAssign || !d.AvoidEdges || d.Priority != 100 || d.Disabled {
		t.Errorf("defaults: %+v", d)
	}
}

// TestBadPools: what can't be used is told by its field, and the rest of the object counts.
func TestBadPools(t *testing.T) {
	for _, c := range []struct {
		spec, ranges string
		remarks      []string
	}{
		{`{}`, "[]", []string{"spec.addresses: the pool has no address"}},
		{`{addresses: [192.0.2.1-192.0.2.9, nonsense, 10.0.0.9-10.0.0.1, "10.0.0.1-2001:db8::1"]}`, "[192.0.2.1-192.0.2.9]", []string{
			`spec.addresses[1]: "nonsense" ignored: not an IP address`,
			`spec.addresses[2]: "10.0.0.9-10.0.0.1" ignored: 10.0.0.1 does not come after 10.0.0.9`,
			`spec.addresses[3]: "10.0.0.1-2001:db8::1" ignored: 2001:db8::1 does not come after 10.0.0.1`}},
		{`{addresses: [192.0.2.0/24, 192.0.2.9]}`, "[192.0.2.0/24]", []string{"spec.addresses[1]: 192.0.2.9 ignored: it overlaps 192.0.2.0/24"}},
		{`{addresses: [127.0.0.0/8, 224.0.0.1, 0.0.0.0/0, "fe80::/64"]}`, "[]", []string{
			"spec.addresses[0]: 127.0.0.0/8 ignored: it has a loopback address", "spec.addresses[1]: 224.0.0.1 ignored: it has a multicast address",
			"spec.addresses[2]: 0.0.0.0/0 ignored: it has an unspecified address", "spec.addresses[3]: fe80::/64 ignored: it has a link-local address",
			"spec.addresses: the pool has no address"}},
		{`{addresses: [192.0.2.0/24], uses: [Dinner]}`, "[192.0.2.0/24]", []string{`spec.uses[0]: "Dinner" ignored: neither LoadBalancer nor Egress`}},
		{`{addresses: [192.0.2.0/24], priority: high}`, "[192.0.2.0/24]", []string{
			"spec.priority: ignored: cannot unmarshal string into Go struct field AddressPoolSpec.priority of type int32"}},
		{`{addresses: [192.0.2.0/24], colour: red}`, "[192.0.2.0/24]", []string{`spec.colour: ignored: unknown field "colour"`}},
		{`[]`, "[]", []string{"spec: ignored: json: cannot unmarshal array into Go value of type map[string]json.RawMessage", "spec.addresses: the pool has no address"}},
	} {
		p := pool(t, "{metadata: {name: a}, spec: "+c.spec+"}")
		same(t, c.ranges, fmt.Sprint(p.Ranges))
		sameRemarks(t, c.remarks, p.Remarks)
	}
}

// names keeps the names of the objects of each kind.
type names struct {
	mu  sync.Mutex
	all map[model.Ref]model.Object
}

func (n *names) Put(o model.Object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[o.Ref()] = o
}

func (n *names) Delete(r model.Ref) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, r)
}

func (n *names) Replace(k model.Kind, all []model.Object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for r := range n.all {
		if r.Kind == k {
			delete(n.all, r)
		}
	}
	for _, o := range all {
		n.all[o.Ref()] = o
	}
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}

// TestOurKindsMayBeAbsent: without its definition a kind has no objects, and that is a complete picture. It is heeded once it is installed, and its
// objects are gone with it. One that doesn't fit harms no other.
func TestOurKindsMayBeAbsent(t *testing.T) {
	s, err := apiserver.New(apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx, l)
	box, synced, log := &names{all: map[model.Ref]model.Object{}}, make(chan struct{}), &bytes.Buffer{}
	w, err := New(Options{Config: &rest.Config{Host: "http://" + l.Addr().String()}, Kinds: []model.Kind{model.KindPool}, Inbox: box,
		Log: slog.New(slog.NewTextHandler(log, nil)), Synced: func() { close(synced) }})
	if err != nil {
		t.Fatal(err)
	}
	w.sources[0].own.every = 40 * time.Millisecond
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	<-synced
	if st := w.Status()[0]; !st.Connected || st.LastError != "" {
		t.Errorf("absent: %+v", st)
	}
	definition, err := os.ReadFile("../../../deploy/kustomize/crds/addresspools.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		apply := func(text string) {
			t.Helper()
			if err := s.Apply([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		apply(string(definition))
		apply("{apiVersion: kube-router.io/v1alpha1, kind: AddressPool, metadata: {name: good}, spec: {addresses: [192.0.2.0/24]}}")
		apply("{apiVersion: kube-router.io/v1alpha1, kind: AddressPool, metadata: {name: bad}, spec: {addresses: 7, uses: {}}}")
		eventually(t, "both pools", func() bool { return box.count() == 2 }, func() string { return fmt.Sprint(box.count(), w.Status()) })
		apply("{apiVersion: kube-router.io/v1alpha1, kind: AddressPool, metadata: {name: late}, spec: {addresses: [192.0.3.0/24]}}")
		eventually(t, "a later one", func() bool { return box.count() == 3 }, func() string { return fmt.Sprint(box.count()) })
		if err := s.RemoveNamed("apiextensions.k8s.io/v1", "CustomResourceDefinition", "addresspools.kube-router.io"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "none", func() bool { return box.count() == 0 }, func() string { return fmt.Sprint(box.count()) })
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
