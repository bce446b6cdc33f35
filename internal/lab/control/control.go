// Package control stands in for a cluster's control plane beside the API server: it binds pods to nodes, keeps the pods of
// Deployments and DaemonSets, and writes the EndpointSlices of Services. Each does what a user of the lab can see in a real cluster
// and nothing more; each is a client of the API like any other.
package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"kube-router/internal/lab/kube"
)

// Plane is the control plane.
type Plane struct {
	client *kube.Client
	watch  *kube.Watch
	log    *slog.Logger
	loops  []*loop
	next   int // the scheduler's turn

	triggers sync.Map // service key → time.Time of the oldest change that its slices don't show yet
}

// loop works on keys one after the other, again after a while when that fails.
type loop struct {
	name  string
	queue workqueue.TypedRateLimitingInterface[string]
	turn  func(ctx context.Context, key string) error
}

// New makes a control plane that hears of changes from the watch, which must not run yet.
func New(client *kube.Client, watch *kube.Watch, log *slog.Logger) *Plane {
	p := &Plane{client: client, watch: watch, log: log}
	schedule := p.loop("scheduler", p.schedule)
	deployments := p.loop("deployment", p.deployment)
	daemons := p.loop("daemonset", p.daemonSet)
	slices := p.loop("endpointslice", p.endpoints)

	kube.On(watch.Pods, func(old, now *corev1.Pod) {
		pod := now
		if pod == nil {
			pod = old
		}
		if now != nil && now.Spec.NodeName == "" {
			schedule.add(now)
		}
		for _, owner := range pod.OwnerReferences {
			switch owner.Kind {
			case "Deployment":
				deployments.queue.Add(pod.Namespace + "/" + owner.Name)
			case "DaemonSet":
				daemons.queue.Add(pod.Namespace + "/" + owner.Name)
			}
		}
		p.podChanged(slices, old, now)
	})
	kube.On(watch.Services, func(old, now *corev1.Service) {
		if now != nil {
			p.serviceChanged(slices, now)
		} else {
			slices.add(old)
		}
	})
	kube.On(watch.Deployments, func(old, now *appsv1.Deployment) { deployments.either(old, now) })
	kube.On(watch.DaemonSets, func(old, now *appsv1.DaemonSet) { daemons.eitherSet(old, now) })
	kube.On(watch.Nodes, func(_, now *corev1.Node) {
		for _, set := range kube.All[appsv1.DaemonSet](watch.DaemonSets, "") {
			daemons.add(set)
		}
		for _, pod := range kube.All[corev1.Pod](watch.Pods, "") {
			if pod.Spec.NodeName == "" {
				schedule.add(pod)
			}
		}
	})
	return p
}

func (p *Plane) loop(name string, turn func(context.Context, string) error) *loop {
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[string](5*time.Millisecond, 2*time.Second)
	l := &loop{name: name, queue: workqueue.NewTypedRateLimitingQueue(limit), turn: turn}
	p.loops = append(p.loops, l)
	return l
}

func (l *loop) add(obj kube.Object) {
	if key, err := cache.MetaNamespaceKeyFunc(obj); err == nil {
		l.queue.Add(key)
	}
}

func (l *loop) either(old, now *appsv1.Deployment) {
	if now == nil {
		now = old
	}
	l.add(now)
}

func (l *loop) eitherSet(old, now *appsv1.DaemonSet) {
	if now == nil {
		now = old
	}
	l.add(now)
}

// Run works until the context ends.
func (p *Plane) Run(ctx context.Context) error {
	if err := p.watch.Synced(ctx); err != nil {
		return nil // the lab ended first
	}
	var all sync.WaitGroup
	for _, l := range p.loops {
		all.Go(func() { l.run(ctx, p.log) })
	}
	<-ctx.Done()
	for _, l := range p.loops {
		l.queue.ShutDown()
	}
	all.Wait()
	return nil
}

func (l *loop) run(ctx context.Context, log *slog.Logger) {
	for {
		key, quit := l.queue.Get()
		if quit {
			return
		}
		err := l.turn(ctx, key)
		switch {
		case err == nil || ctx.Err() != nil:
			l.queue.Forget(key)
		default:
			if l.queue.NumRequeues(key) > 5 { // conflicts with what the cache doesn't know yet pass by themselves
				log.Warn("lab control plane", "loop", l.name, "key", key, "error", err)
			}
			l.queue.AddRateLimited(key)
		}
		l.queue.Done(key)
	}
}
