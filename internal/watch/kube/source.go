package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"kube-router/internal/model"
)

// SourceStatus is how well one kind is being followed.
type SourceStatus struct {
	Kind      model.Kind `json:"kind"`
	Synced    bool       `json:"synced"`              // a first complete list has come
	Connected bool       `json:"connected"`           // the last request to the API server was accepted
	Since     time.Time  `json:"since"`               // when Connected took its value; zero: never tried
	LastError string     `json:"lastError,omitempty"` // why not connected
	Events    uint64     `json:"events"`              // changes received since start
}

// source follows one kind: it is both the ListerWatcher that a Reflector asks and the ReflectorStore that
// it fills. It keeps no objects.
type source struct {
	resource resource
	lw       *cache.ListWatch
	inbox    Inbox
	log      *slog.Logger
	onSync   func()

	patience patience
	shared   *shared
	own      *group // of our own kinds; nil for others

	mu      sync.Mutex
	state   SourceStatus
	asked   time.Time // when a request was sent that has not been answered; zero: none is open
	missing string    // why a kind of a group that need not be there isn't; empty: it is
	had     bool      // it has been there
	bad     int       // watches that failed one after the other, though accepted
}

func newSource(r resource, c rest.Interface, inbox Inbox, log *slog.Logger, onSync func()) *source {
	return &source{
		resource: r, lw: listWatch(r, c, metav1.NamespaceAll), inbox: inbox, log: log, onSync: onSync, patience: normal, shared: newShared(),
		state: SourceStatus{Kind: r.kind},
	}
}

func listWatch(r resource, c rest.Interface, namespace string) *cache.ListWatch {
	return cache.NewFilteredListWatchFromClient(c, r.name, namespace, func(o *metav1.ListOptions) {
		o.LabelSelector = r.labels
		if r.only != "" {
			o.FieldSelector = "metadata.name=" + r.only
		}
	})
}

// either asks by one version and, where the server doesn't know that, by an older one. A watch goes by the version of the list before it.
// A Reflector calls both from one goroutine.
func either(newer, older *cache.ListWatch) *cache.ListWatch {
	served := newer
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			served = newer
			list, err := newer.ListWithContext(ctx, o)
			if !apierrors.IsNotFound(err) {
				return list, err
			}
			served = older
			return older.ListWithContext(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return served.WatchWithContext(ctx, o)
		},
	}
}

// ListWithContext asks for all objects of the kind.
func (s *source) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	s.asking(true)
	list, done, err := ask(ctx, s.patience.list, func(ctx context.Context) (runtime.Object, error) { return s.lw.ListWithContext(ctx, o) })
	done()
	s.asking(false)
	if s.absent(err) {
		s.accepted(ctx, nil)
		return s.nothing(err), nil
	}
	if err == nil {
		s.found()
	}
	s.accepted(ctx, err)
	return list, err
}

// WatchWithContext asks for changes. Reflector answers a refused connection to a streaming list
// (KEP-3157) by waiting without looking at its context, which would hold up our end; a wrapped error
// makes it take the ordinary list instead, whose waiting ends with the context. A streaming list that fails by its events it
// would repeat at once and for ever, so that the ordinary list takes its place then too.
func (s *source) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil && s.failures() >= plainAfter {
		return nil, errors.New("streaming lists fail; asking for a plain one")
	}
	if s.isMissing() {
		if o.SendInitialEvents != nil {
			return nil, errors.New("asking for a plain list: it tells whether the kind is there")
		}
		return s.await(ctx), nil
	}
	s.pace(ctx)
	s.asking(true)
	w, done, err := ask(ctx, s.patience.answer, func(ctx context.Context) (watch.Interface, error) { return s.lw.WatchWithContext(ctx, o) })
	s.asking(false)
	if s.absent(err) {
		done()
		if o.SendInitialEvents == nil {
			err = apierrors.NewResourceExpired(err.Error()) // a list tells the rest
		}
		return nil, err
	}
	s.accepted(ctx, err)
	if err != nil {
		done()
		if o.SendInitialEvents != nil && utilnet.IsConnectionRefused(err) {
			err = errors.New(err.Error())
		}
		return nil, err
	}
	return s.hear(ctx, w, done), nil
}

// List is the form without a context that cache.ListerWatcher still asks for.
func (s *source) List(o metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), o)
}

// Watch is the form without a context that cache.ListerWatcher still asks for.
func (s *source) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), o)
}

// Transformer makes a streaming list collect model values, not API objects.
func (s *source) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return s.convert(o) }
}

// Add forwards a new object.
func (s *source) Add(o any) error { return s.put(o) }

// Update forwards a changed object.
func (s *source) Update(o any) error { return s.put(o) }

// Delete forwards the end of an object.
func (s *source) Delete(o any) error {
	m, err := meta.Accessor(o)
	if err != nil {
		return fmt.Errorf("%s deleted: %w", s.resource.kind, err)
	}
	s.count()
	s.inbox.Delete(model.Ref{Kind: s.resource.kind, Name: model.Name{Namespace: m.GetNamespace(), Name: m.GetName()}})
	return nil
}

// Replace forwards a complete list.
func (s *source) Replace(list []any, _ string) error {
	objects := make([]model.Object, 0, len(list))
	for _, o := range list {
		m, err := s.convert(o)
		if err != nil {
			return err
		}
		objects = append(objects, m)
	}
	s.inbox.Replace(s.resource.kind, objects)
	s.mu.Lock()
	s.state.Synced = true
	s.mu.Unlock()
	s.onSync()
	return nil
}

// Resync has nothing to do: there is no second copy that could differ.
func (s *source) Resync() error { return nil }

func (s *source) put(o any) error {
	m, err := s.convert(o)
	if err != nil {
		return err
	}
	s.count()
	s.inbox.Put(m)
	return nil
}

// convert takes an API object, or a model value that Transformer made of one.
func (s *source) convert(o any) (model.Object, error) {
	if m, ok := o.(model.Object); ok {
		return m, nil
	}
	m, ok := s.resource.convert(o)
	if !ok {
		return nil, fmt.Errorf("watch %s: the API server sent a %T", s.resource.kind, o)
	}
	s.shared.share(m)
	return m, nil
}

func (s *source) count() {
	s.mu.Lock()
	s.state.Events++
	s.mu.Unlock()
}

func (s *source) hasSynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Synced
}

// status tells of an open request before its time is over as well: whoever waits for a first list wants to know on whom.
func (s *source) status() SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	if !st.Synced && st.LastError == "" && !s.asked.IsZero() {
		st.LastError = "asked at " + s.asked.Format(time.TimeOnly) + ", no answer yet"
	}
	return st
}

func (s *source) asking(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked = (time.Time{}); open {
		s.asked = time.Now()
	}
}

// accepted notes whether a request was accepted. While watches fail one after the other by what comes in them, that alone is no
// answer.
func (s *source) accepted(ctx context.Context, err error) {
	if err != nil || s.failures() < badAfter {
		s.tried(ctx, err)
	}
}

func (s *source) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}

// good notes that a watch works.
func (s *source) good(ctx context.Context) {
	s.mu.Lock()
	s.bad = 0
	s.mu.Unlock()
	s.tried(ctx, nil)
}

// failed notes that a watch ended by what came in it.
func (s *source) failed(ctx context.Context, err error) {
	s.mu.Lock()
	s.bad++
	bad := s.bad
	s.mu.Unlock()
	if bad >= badAfter {
		s.tried(ctx, err)
	}
}

// errorOf is the error that an event of a watch tells.
func errorOf(e watch.Event) error { return apierrors.FromObject(e.Object) }

// tried notes how a request ended, and logs when that changes. A request that we ended ourselves by
// stopping says nothing about the server.
func (s *source) tried(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, first := s.state.Connected, s.state.Since.IsZero()
	s.state.Connected, s.state.LastError = err == nil, ""
	if err != nil {
		s.state.LastError = err.Error()
	}
	if !first && was == s.state.Connected {
		return
	}
	s.state.Since = time.Now()
	if err != nil {
		s.log.Warn("API server doesn't answer; forwarding goes on with what is known", "kind", s.resource.kind, "error", err)
	} else if !first {
		s.log.Info("API server answers again", "kind", s.resource.kind)
	}
}
