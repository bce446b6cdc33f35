package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// Inbox receives what is true now. Calls for one kind come from one goroutine, in order; calls for
// different kinds come concurrently.
type Inbox interface {
	// Put stores one object that was added or changed.
	Put(model.Object)
	// Delete removes one object.
	Delete(model.Ref)
	// Replace tells all objects of a kind, after every complete list; the receiver finds out what is gone.
	Replace(model.Kind, []model.Object)
}

// Options are what a Watch needs.
type Options struct {
	Config    *rest.Config // from Config
	Kinds     []model.Kind // from Kinds
	Inbox     Inbox
	Namespace string // of the daemon, where its Secret is
	Own       string // the Node that we run on, which stays when its object is deleted; empty: none does
	Log       *slog.Logger
	Synced    func() // called once, when every kind has had its first complete list; may be nil
}

// Watch follows the API server's objects of some kinds.
type Watch struct {
	sources []*source
	log     *slog.Logger
	once    sync.Once
	synced  func()
}

// New prepares a Watch. It talks to nobody yet; an error means a configuration that can't work.
func New(o Options) (*Watch, error) {
	clients, err := newClients(o.Config)
	if err != nil {
		return nil, err
	}
	if o.Own != "" {
		o.Inbox = &own{Inbox: o.Inbox, ref: (&model.Node{Name: o.Own}).Ref(), log: o.Log}
	}
	w := &Watch{log: o.Log, synced: o.Synced}
	own := &group{client: clients[api.Version], versions: []schema.GroupVersion{api.Version}, every: askGroupEvery}
	policies := &group{client: clients[api.Version], versions: clusterapi.Versions(), every: askGroupEvery}
	for _, k := range o.Kinds {
		r, ok := resourceOf(k)
		if !ok {
			return nil, fmt.Errorf("watch %s: not a kind of the Kubernetes API", k)
		}
		s := newSource(r, clients[r.group], o.Inbox, o.Log, w.check)
		s.own = own
		switch k {
		case model.KindClusterPolicy:
			s.own, s.lw = policies, either(s.lw, listWatch(r, clients[r.older], metav1.NamespaceAll))
		case model.KindKeyring: // a kind that is always there, though perhaps not ours to read
			s.own = &group{every: askGroupEvery}
			s.lw = listWatch(r, clients[r.group], o.Namespace)
		}
		w.sources = append(w.sources, s)
	}
	return w, nil
}

// Run follows all kinds until ctx ends, and returns when all its goroutines are gone. An API server that
// can't be reached is waited for.
func (w *Watch) Run(ctx context.Context) error {
	ctx = Quiet(ctx, w.log)
	var wg sync.WaitGroup
	for _, s := range w.sources {
		wg.Go(func() { s.reflector().RunWithContext(ctx) })
	}
	wg.Wait()
	return nil
}

// HasSynced tells whether every kind has had its first complete list.
func (w *Watch) HasSynced() bool {
	for _, s := range w.sources {
		if !s.hasSynced() {
			return false
		}
	}
	return true
}

// Status is the state of the connection for each kind, in the order of Options.Kinds.
func (w *Watch) Status() []SourceStatus {
	list := make([]SourceStatus, 0, len(w.sources))
	for _, s := range w.sources {
		list = append(list, s.status())
	}
	return list
}

// check announces the first complete picture, once.
func (w *Watch) check() {
	if w.synced != nil && w.HasSynced() {
		w.once.Do(w.synced)
	}
}

// reflector makes client-go's list-and-watch loop for a source. The delay between attempts grows to ten
// seconds only (client-go's own default is 30 s): after an outage a node must learn of changes soon.
// Full jitter keeps thousands of nodes from coming back together.
func (s *source) reflector() *cache.Reflector {
	return cache.NewReflectorWithOptions(s, s.resource.example(), s, cache.ReflectorOptions{
		Name:            string(s.resource.kind),
		TypeDescription: string(s.resource.kind),
		Backoff: &wait.Backoff{
			Duration: 200 * time.Millisecond,
			Cap:      10 * time.Second,
			Steps:    50,
			Factor:   2,
			Jitter:   1,
		},
	})
}
