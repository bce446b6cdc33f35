package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/model"
)

// refs keeps which objects are known.
type refs struct {
	mu    sync.Mutex
	known map[model.Ref]bool
}

func (r *refs) Put(o model.Object) { r.mu.Lock(); defer r.mu.Unlock(); r.known[o.Ref()] = true }

func (r *refs) Delete(n model.Ref) { r.mu.Lock(); defer r.mu.Unlock(); delete(r.known, n) }

func (r *refs) Replace(k model.Kind, all []model.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.known {
		if n.Kind == k {
			delete(r.known, n)
		}
	}
	for _, o := range all {
		r.known[o.Ref()] = true
	}
}

// list names what is known in namespace "a" and of the cluster, without what the server itself brings.
func (r *refs) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for n := range r.known {
		if n.Name.Namespace == "a" || n.Name.Name == "a" || n.Name.Name == "n1" {
			list = append(list, n.String())
		}
	}
	slices.Sort(list)
	return list
}

// labServer is the lab's API server at one address, which can be stopped and started with its memory kept.
type labServer struct {
	t     *testing.T
	store *apiserver.Store
	addr  string
	stop  func()
}

func (l *labServer) start() {
	l.t.Helper()
	s, err := apiserver.New(apiserver.Options{Store: l.store})
	if err != nil {
		l.t.Fatal(err)
	}
	socket, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.store, l.addr = s.Store, socket.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, socket) }()
	l.stop = sync.OnceFunc(func() { cancel(); <-done })
	l.t.Cleanup(l.stop)
}

// One object of every kind, through the lab's API server, and through a restart of it.
func TestWatchEveryKind(t *testing.T) {
	server := &labServer{t: t, addr: "127.0.0.1:0"}
	server.start()
	config := &rest.Config{Host: "http://" + server.addr}
	in := &refs{known: map[model.Ref]bool{}}
	synced := make(chan struct{})
	w, err := New(Options{Config: config, Inbox: in, Log: slog.New(slog.DiscardHandler), Synced: func() { close(synced) },
		Kinds: Kinds(model.Settings{Proxy: true, Router: true, Firewall: true})})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.sources {
		s.own.every = time.Second // what isn't there is asked for again, and that tells of the outage too
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	clients, err := newClients(config)
	if err != nil {
		t.Fatal(err)
	}
	<-synced
	create(t, clients)
	all := []string{"EndpointSlice a/web-1", "Namespace a", "NetworkPolicy a/deny", "Node n1", "Pod a/p", "Service a/web"}
	reach := func(what string, want []string, connected bool) {
		t.Helper()
		var got []string
		eventually(t, what, func() bool {
			got = in.list()
			other := func(s SourceStatus) bool { return s.Connected != connected }
			return slices.Equal(want, got) && !slices.ContainsFunc(w.Status(), other)
		}, func() string { return fmt.Sprintf("%q\n%+v", got, w.Status()) })
	}
	reach("all kinds", all, true)
	server.stop()
	reach("during the outage", all, false)
	server.start()
	reach("after the outage", all, true)
	if err := clients[corev1.SchemeGroupVersion].Delete().Namespace("a").Resource("services").Name("web").Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	reach("deletion", all[:5], true)
}

// create makes one object of every kind.
func create(t *testing.T, clients map[schema.GroupVersion]rest.Interface) {
	t.Helper()
	in := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "a", Name: name} }
	for _, c := range []struct {
		gv                  schema.GroupVersion
		namespace, resource string
		object              runtime.Object
	}{
		{corev1.SchemeGroupVersion, "", "namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}},
		{corev1.SchemeGroupVersion, "", "nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}},
		{corev1.SchemeGroupVersion, "a", "services", &corev1.Service{ObjectMeta: in("web"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}},
		{corev1.SchemeGroupVersion, "a", "pods", &corev1.Pod{ObjectMeta: in("p"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}},
		{discoveryv1.SchemeGroupVersion, "a", "endpointslices", &discoveryv1.EndpointSlice{ObjectMeta: in("web-1"), AddressType: discoveryv1.AddressTypeIPv4}},
		{discoveryv1.SchemeGroupVersion, "a", "endpointslices", &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "headless-1", Labels: map[string]string{labelHeadless: ""}}}},
		{networkingv1.SchemeGroupVersion, "a", "networkpolicies", &networkingv1.NetworkPolicy{ObjectMeta: in("deny")}},
	} {
		err := clients[c.gv].Post().NamespaceIfScoped(c.namespace, c.namespace != "").Resource(c.resource).
			SetHeader("Content-Type", runtime.ContentTypeJSON).Body(encode(t, c.object)).Do(t.Context()).Error()
		if err != nil {
			t.Fatalf("create %s: %v", c.resource, err)
		}
	}
}

// encode writes an object as JSON with its kind; the watch's own clients speak protobuf.
func encode(t *testing.T, o runtime.Object) []byte {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	kinds, _, err := scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
