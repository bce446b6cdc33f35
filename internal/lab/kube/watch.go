package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
)

// Watch is a live picture of what the stand-ins act upon.
type Watch struct {
	Pods, Services, Nodes, Deployments, DaemonSets cache.SharedIndexInformer
}

// NewWatch makes the picture; add handlers, then Run it.
func (c *Client) NewWatch() *Watch {
	of := func(obj Object) cache.SharedIndexInformer {
		p := placeOf(obj)
		lw := cache.NewListWatchFromClient(c.groups[p.gv], p.resource, "", fields.Everything())
		return cache.NewSharedIndexInformer(lw, obj, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	return &Watch{
		Pods: of(&corev1.Pod{}), Services: of(&corev1.Service{}), Nodes: of(&corev1.Node{}),
		Deployments: of(&appsv1.Deployment{}), DaemonSets: of(&appsv1.DaemonSet{}),
	}
}

// Run keeps the picture true until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	all := []cache.SharedIndexInformer{w.Pods, w.Services, w.Nodes, w.Deployments, w.DaemonSets}
	for _, informer := range all {
		go informer.RunWithContext(ctx)
	}
	<-ctx.Done()
	return nil
}

// Synced waits until the picture is whole.
func (w *Watch) Synced(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), w.Pods.HasSynced, w.Services.HasSynced, w.Nodes.HasSynced, w.Deployments.HasSynced, w.DaemonSets.HasSynced) {
		return fmt.Errorf("waiting for the API server: %w", ctx.Err())
	}
	return nil
}

// On calls f for every change of the informer's objects: old is nil for a new one, now is nil for a deleted one. Neither may be
// changed by f.
func On[T any](informer cache.SharedIndexInformer, f func(old, now *T)) {
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f(nil, o.(*T)) },
		UpdateFunc: func(o, n any) { f(o.(*T), n.(*T)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if obj, ok := o.(*T); ok {
				f(obj, nil)
			}
		},
	})
}

// All lists the informer's objects of a namespace, or of all when it is "". They may not be changed.
func All[T any](informer cache.SharedIndexInformer, namespace string) []*T {
	items := informer.GetIndexer().List()
	if namespace != "" {
		items, _ = informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace) // the index is always there
	}
	all := make([]*T, 0, len(items))
	for _, item := range items {
		all = append(all, item.(*T))
	}
	return all
}

// Find returns the informer's object of that key, "namespace/name" or "name"; nil when there is none. It may not be changed.
func Find[T any](informer cache.SharedIndexInformer, key string) *T {
	item, ok, err := informer.GetIndexer().GetByKey(key)
	if !ok || err != nil {
		return nil
	}
	return item.(*T)
}
