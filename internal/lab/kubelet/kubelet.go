// Package kubelet stands in for the kubelet and the container runtime of one lab node: it gives each pod bound to the node a network
// namespace, has libcni connect it with the plugin chain that the node's daemon wrote, runs the pod server in it, reports the pod's
// status, and takes it all back when the pod is deleted.
package kubelet

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/netns"
)

// Config is what a node's kubelet needs to know.
type Config struct {
	Node     string
	Machine  *netns.Machine
	HostIPs  []netip.Addr    // the node's own, for hostNetwork pods
	CNIDir   string          // the node's /etc/cni/net.d as the lab sees it
	Plugins  []string        // where the CNI plugins are, as the node sees it
	Starting chan struct{}   // how many pods the lab connects at once, its capacity
	Client   *kube.Client    // of the API server
	Log      *slog.Logger    // for what goes wrong
	Started  func(*Pod)      // called when a pod is connected and before anything else happens in it; may be nil
	Self     func() []string // the command line that runs a pod server as a process of its own
	Programs string          // directory of kube-router's programs, which commands in pods find first

	DaemonRuns func() bool // whether the node's kube-router runs; asked only for pods with DaemonAnnotation
	DaemonLog  string      // the file that it logs to
}

// Kubelet runs the pods of one node.
type Kubelet struct {
	Config
	mu   sync.Mutex
	pods map[types.UID]*Pod
	all  sync.WaitGroup
	run  context.Context // from Run, for the pods' goroutines
}

// New makes a kubelet that knows no pods yet.
func New(config Config) *Kubelet {
	return &Kubelet{Config: config, pods: map[types.UID]*Pod{}}
}

// Run has the watch's pods of this node run until the context ends, then takes them all down.
func (k *Kubelet) Run(ctx context.Context, watch *kube.Watch) error {
	k.run = ctx
	kube.On(watch.Pods, func(old, now *corev1.Pod) {
		if now != nil {
			k.see(now, false)
		} else {
			k.see(old, true)
		}
	})
	if k.waitForNetwork(ctx) == nil {
		k.reportNode(ctx)
	}
	<-ctx.Done()
	k.all.Wait()
	return nil
}

// see takes in the newest version of a pod.
func (k *Kubelet) see(obj *corev1.Pod, gone bool) {
	if obj.Spec.NodeName != k.Node {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	pod := k.pods[obj.UID]
	if pod == nil {
		if gone || k.run.Err() != nil {
			return
		}
		pod = &Pod{kubelet: k, first: obj, obj: obj, wake: make(chan struct{}, 1)}
		k.pods[obj.UID] = pod
		k.all.Go(func() {
			pod.live(k.run)
			k.mu.Lock()
			defer k.mu.Unlock()
			delete(k.pods, obj.UID)
		})
		return
	}
	pod.set(obj, gone)
}

// Pods lists the node's pods that are connected.
func (k *Kubelet) Pods() []*Pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(k.pods)), func(p *Pod) bool { return p.Space() == nil })
}

// Find returns the connected pod of that name, "namespace/name"; nil when there is none.
func (k *Kubelet) Find(name string) *Pod {
	for _, p := range k.Pods() {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// DaemonChanged has the pods that stand for the daemon look at it again.
func (k *Kubelet) DaemonChanged() {
	for _, p := range k.Pods() {
		if p.daemon() {
			p.nudge()
		}
	}
}

// waitForNetwork waits until a CNI configuration is there, as a container runtime does.
func (k *Kubelet) waitForNetwork(ctx context.Context) error {
	for {
		for _, pattern := range []string{"*.conflist", "*.conf"} {
			if files, err := filepath.Glob(filepath.Join(k.CNIDir, pattern)); err == nil && len(files) > 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// reportNode says that the node is ready for pods.
func (k *Kubelet) reportNode(ctx context.Context) {
	now := metav1.Now()
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "a CNI configuration is there", LastTransitionTime: now, LastHeartbeatTime: now}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.Node}}
	if err := k.Client.Merge(ctx, node, "status", map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{ready}}}); err != nil && ctx.Err() == nil {
		k.Log.Warn("report node", "node", k.Node, "error", err)
	}
}
