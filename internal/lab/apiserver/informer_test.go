package apiserver_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"kube-router/internal/lab/apiserver"
)

// A mirror is a client-go Reflector's copy of the Services, and how often it listed.
type mirror struct {
	store cache.Store
	lists atomic.Int32
}

// reflect runs client-go's Reflector against the server, either by streaming lists (KEP-3157) or by list and watch.
func reflect(t *testing.T, c *cluster, streaming bool) *mirror {
	t.Helper()
	m := &mirror{}
	services := c.client.CoreV1().Services(metav1.NamespaceAll)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			m.lists.Add(1)
			return services.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil && !streaming {
				return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)
			}
			if o.SendInitialEvents != nil {
				m.lists.Add(1)
			}
			return services.Watch(ctx, o)
		},
	}
	m.store = cache.NewStore(cache.MetaNamespaceKeyFunc)
	reflector := cache.NewReflectorWithOptions(lw, &corev1.Service{}, m.store, cache.ReflectorOptions{Backoff: &wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1, Steps: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); reflector.RunWithContext(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the first list is there", func() bool { return reflector.LastSyncResourceVersion() != "" })
	return m
}

func (m *mirror) names() string { return strings.Join(m.store.ListKeys(), " ") }

func (m *mirror) has(name string) bool {
	_, ok, _ := m.store.GetByKey("default/" + name)
	return ok
}

// TestReflector: a client-go Reflector follows the store through an outage, a compaction that makes it list again, a restart
// of the server with its store and one with another store.
func TestReflector(t *testing.T) {
	t.Parallel()
	for name, streaming := range map[string]bool{"streaming": true, "list and watch": false} {
		t.Run(name, func(t *testing.T) { follow(t, streaming) })
	}
}

func follow(t *testing.T, streaming bool) {
	c := start(t, apiserver.Options{})
	put(t, c, service("a", 80))
	m := reflect(t, c, streaming)
	if !m.has("a") || m.lists.Load() != 1 {
		t.Fatalf("after the first list: %q by %d lists", m.names(), m.lists.Load())
	}
	put(t, c, service("b", 80))
	eventually(t, "b is seen", func() bool { return m.has("b") })

	c.SetDown(true)
	put(t, c, service("c", 80))
	if err := c.Remove(&corev1.Service{}, "default", "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(c.url + "/healthz"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("during an outage: %v, want connection refused", err)
	}
	c.SetDown(false)
	eventually(t, "c is seen and a gone", func() bool { return m.has("c") && !m.has("a") })

	c.SetDown(true)
	put(t, c, service("d", 80))
	c.Compact()
	before := m.lists.Load()
	c.SetDown(false)
	eventually(t, "d is seen after 410 Gone", func() bool { return m.has("d") })
	if m.lists.Load() == before {
		t.Error("the Reflector did not list again, so it was not told 410 Gone")
	}

	addr := strings.TrimPrefix(c.url, "http://")
	c.stop()
	c2 := startAt(t, apiserver.Options{Store: c.Store}, addr)
	put(t, c2, service("e", 80))
	eventually(t, "e is seen after a restart", func() bool { return m.has("e") && m.has("b") })

	c2.stop()
	c3 := startAt(t, apiserver.Options{}, addr)
	put(t, c3, service("f", 80))
	eventually(t, "only f is there after the store was lost", func() bool { return m.names() == "default/f" })
}

func put(t *testing.T, c *cluster, objs ...apiserver.Object) {
	t.Helper()
	if err := c.Put(objs...); err != nil {
		t.Fatal(err)
	}
}

// TestWatchProtocol checks single answers of the watch protocol.
func TestWatchProtocol(t *testing.T) {
	c := start(t, apiserver.Options{BookmarkEvery: 20 * time.Millisecond})
	put(t, c, service("a", 80))
	services := c.client.CoreV1().Services("default")
	list, err := services.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("list: %d items, %v", len(list.Items), err)
	}

	t.Run("from a version", func(t *testing.T) {
		put(t, c, service("b", 80))
		w := open(t, c, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
		expect(t, w, watch.Added, "b")
	})
	t.Run("an old version is gone", func(t *testing.T) {
		w := open(t, c, metav1.ListOptions{ResourceVersion: "1"})
		ev := <-w.ResultChan()
		if err := apierrors.FromObject(ev.Object); ev.Type != watch.Error || !apierrors.IsResourceExpired(err) {
			t.Errorf("have %v %v, want 410 Expired", ev.Type, err)
		}
	})
	t.Run("a version to come is refused", func(t *testing.T) {
		_, err := services.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "99999999999999"})
		if !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			t.Errorf("have %v, want too large resource version", err)
		}
	})
	t.Run("bookmarks only where allowed", func(t *testing.T) {
		now := metav1.ListOptions{ResourceVersion: list.ResourceVersion, FieldSelector: "metadata.name=none"}
		now.AllowWatchBookmarks = true
		if ev := <-open(t, c, now).ResultChan(); ev.Type != watch.Bookmark {
			t.Errorf("have %v, want a bookmark", ev.Type)
		}
		now.AllowWatchBookmarks = false
		one := int64(1)
		now.TimeoutSeconds = &one
		began := time.Now()
		if ev, more := <-open(t, c, now).ResultChan(); more {
			t.Errorf("have %v, want nothing until the end", ev.Type)
		}
		if took := time.Since(began); took < 900*time.Millisecond {
			t.Errorf("the watch ended after %v, want timeoutSeconds=1", took)
		}
	})
	t.Run("selectors turn changes into additions and deletions", func(t *testing.T) {
		w := open(t, c, metav1.ListOptions{ResourceVersion: list.ResourceVersion, LabelSelector: "shown=yes"})
		relabel(t, c, "b", "yes")
		expect(t, w, watch.Added, "b")
		relabel(t, c, "b", "no")
		expect(t, w, watch.Deleted, "b")
	})
}

func open(t *testing.T, c *cluster, o metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := c.client.CoreV1().Services("default").Watch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

func expect(t *testing.T, w watch.Interface, typ watch.EventType, name string) {
	t.Helper()
	ev := <-w.ResultChan()
	svc, ok := ev.Object.(*corev1.Service)
	if !ok || ev.Type != typ || svc.Name != name {
		t.Fatalf("have %v %v, want %v %s", ev.Type, ev.Object, typ, name)
	}
}

func relabel(t *testing.T, c *cluster, name, shown string) {
	t.Helper()
	var svc corev1.Service
	if err := c.Modify(&svc, "default", name, func() { svc.Labels = map[string]string{"shown": shown} }); err != nil {
		t.Fatal(err)
	}
}

// TestSlowWatcher: a client that does not read is told 410 when it has fallen out of the history, and costs the others nothing.
func TestSlowWatcher(t *testing.T) {
	c := start(t, apiserver.Options{History: 64})
	slow := open(t, c, metav1.ListOptions{})
	quick := open(t, c, metav1.ListOptions{})
	put(t, c, service("a", 80))
	expect(t, quick, watch.Added, "a")
	quick.Stop()
	for range 20000 { // more than the socket's buffers hold
		relabel(t, c, "a", strings.Repeat("x", 1+int(c.ResourceVersion()%50)))
	}
	var last watch.Event
	for ev := range slow.ResultChan() {
		last = ev
	}
	if err := apierrors.FromObject(last.Object); last.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("the slow watch ended with %v %v, want 410 Expired", last.Type, err)
	}
}

// TestListenerLost: Run says so if its listener is closed under it.
func TestListenerLost(t *testing.T) {
	s, err := apiserver.New(apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Run(t.Context(), l); err == nil {
		t.Error("want an error")
	}
}
