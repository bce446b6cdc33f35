package kubelet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kube-router/internal/lab/netns"
)

// Annotations with which a manifest tells the lab what a pod is to be like.
const (
	ReadyAnnotation   = "lab/ready"   // "false": its readiness probe fails
	ProcessAnnotation = "lab/process" // "true": its server is a process of its own, not a part of the lab's
	DaemonAnnotation  = "lab/daemon"  // "true": it stands for the node's kube-router, which somebody else starts and ends
)

// Pod is one pod on its node.
type Pod struct {
	kubelet *Kubelet
	wake    chan struct{}
	first   *corev1.Pod // as it was bound: name, UID and what of its spec can't change

	mu    sync.Mutex
	obj   *corev1.Pod // newest version; never changed
	gone  bool        // no longer in the API
	space *netns.Space
	ips   []netip.Addr

	server  server
	started time.Time
	ready   bool // as last reported
}

// Name is the pod's namespace/name.
func (p *Pod) Name() string { return p.first.Namespace + "/" + p.first.Name }

// Node is the name of the node that it runs on.
func (p *Pod) Node() string { return p.kubelet.Node }

// Machine is the node that it runs on.
func (p *Pod) Machine() *netns.Machine { return p.kubelet.Machine }

// Space is the pod's network namespace, the node's own with hostNetwork; nil before it is connected and after.
func (p *Pod) Space() *netns.Space {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.space
}

// IPs are the pod's addresses.
func (p *Pod) IPs() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ips
}

func (p *Pod) set(obj *corev1.Pod, gone bool) {
	p.mu.Lock()
	p.obj, p.gone = obj, p.gone || gone
	p.mu.Unlock()
	p.nudge()
}

// daemon says whether the pod stands for the node's kube-router.
func (p *Pod) daemon() bool { return p.first.Annotations[DaemonAnnotation] == "true" }

// nudge has the pod's life go on.
func (p *Pod) nudge() {
	select {
	case p.wake <- struct{}{}:
	default: // already awake
	}
}

func (p *Pod) latest() (*corev1.Pod, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.obj, p.gone || p.obj.DeletionTimestamp != nil
}

// live is the pod's life, from its binding to its removal from the API.
func (p *Pod) live(ctx context.Context) {
	defer p.leave()
	if !p.begin(ctx) {
		p.remove(ctx)
		return
	}
	defer p.server.close()
	for {
		obj, ending := p.latest()
		if ending {
			p.end(ctx)
			return
		}
		if ready := obj.Annotations[ReadyAnnotation] != "false" && (!p.daemon() || p.kubelet.DaemonRuns()); ready != p.ready || p.started.IsZero() {
			if p.started.IsZero() {
				p.started = time.Now()
			}
			p.ready = ready
			p.report(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
	}
}

// begin connects the pod and starts its server, again and again until it works or the pod is no longer wanted.
func (p *Pod) begin(ctx context.Context) bool {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := p.start(ctx)
		if err == nil {
			return true
		}
		obj, ending := p.latest()
		if ctx.Err() != nil || ending {
			return false
		}
		p.kubelet.Log.Warn("start pod", "node", p.Node(), "pod", p.Name(), "error", err)
		p.complain(ctx, obj, err)
		select {
		case <-ctx.Done():
			return false
		case <-p.wake:
		case <-time.After(wait):
		}
	}
}

func (p *Pod) start(ctx context.Context) error {
	if p.first.Spec.HostNetwork {
		p.mu.Lock()
		p.space, p.ips = p.Machine().Space, p.kubelet.HostIPs
		p.mu.Unlock()
	} else if err := p.connect(ctx); err != nil {
		return err
	}
	if p.kubelet.Started != nil {
		p.kubelet.Started(p)
	}
	var err error
	if p.server, err = p.serve(); err != nil {
		p.leave()
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// end is the deletion of a pod: its preStop sleep with everything as it was, then not ready, its server asked to finish, and after the
// grace period cut.
func (p *Pod) end(ctx context.Context) {
	obj, _ := p.latest()
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	for _, g := range []*int64{obj.Spec.TerminationGracePeriodSeconds, obj.DeletionGracePeriodSeconds} {
		if g != nil {
			grace = *g
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(grace)*time.Second)
	defer cancel()
	whole := context.WithoutCancel(ctx)
	if !p.isGone() {
		p.pause(ctx, preStop(obj))
		p.ready = false
		p.report(whole)
		p.server.drain(ctx)
	}
	p.server.close()
	p.leave()
	p.remove(whole)
}

func (p *Pod) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// pause waits, but not for a pod that is gone from the API altogether.
func (p *Pod) pause(ctx context.Context, d time.Duration) {
	over := time.After(d)
	for !p.isGone() {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-p.wake:
		}
	}
}

// preStop is how long the pod asks to sleep before it is told to stop (KEP-3960).
func preStop(obj *corev1.Pod) (d time.Duration) {
	for _, c := range obj.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			d = max(d, time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second)
		}
	}
	return d
}

// remove takes the pod's object out of the API, if it is being deleted, now that nothing is left of the pod.
func (p *Pod) remove(ctx context.Context) {
	obj, ending := p.latest()
	if !ending || p.isGone() || ctx.Err() != nil {
		return
	}
	now := int64(0)
	if err := p.kubelet.Client.Delete(ctx, obj, &now); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		p.kubelet.Log.Warn("remove pod", "pod", p.Name(), "error", err)
	}
}
