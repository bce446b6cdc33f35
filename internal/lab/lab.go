// Package lab is the world around the binary: a cluster on one machine. Its nodes are network namespaces with mounts and processes of
// their own, joined by a switch or by a router; on each the real kube-router runs as a real process; pods are connected by the plugin
// chain that it wrote; and the API server, kubelet and controllers are small stand-ins in the lab's process. Tests start one with
// Start; "kube-router lab" is the same for people.
//
// The parts: netns (hosts), apiserver, kube (its client), control and kubelet (stand-ins), podserver (the program in every pod), probe
// (who asks them). This package puts them together: topology.go, node.go, api.go, and down.go, which needs no memory to clean up.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kube-router/internal/lab/control"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/kubelet"
	"kube-router/internal/lab/netns"
)

// Lab is a running cluster.
type Lab struct {
	// Client writes and reads API objects.
	Client *kube.Client
	// Watch is a live picture of the API's objects.
	Watch *kube.Watch

	config     Config
	dir        string
	kubeconfig []byte
	api        *api
	fabric     *netns.Space
	mu         sync.Mutex // of nodes and hosts
	nodes      []*Node
	hosts      map[string]*Host
	run        context.Context // until Close
	cancel     context.CancelFunc
	starting   chan struct{} // how many pods are connected at once
	running    sync.WaitGroup
	log        *slog.Logger
	closed     sync.Once
	visitor    bool // the lab is another's
}

// Start starts a lab and returns when its nodes run and, unless there are no daemons, each has its network. The context is for the
// starting only. Whoever starts a lab must Close it, and its program must have called Main first.
func Start(ctx context.Context, config Config) (*Lab, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{config: config, dir: config.dir(), hosts: map[string]*Host{}, log: config.Log, starting: make(chan struct{}, 4)}
	if l.log == nil {
		l.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if err := takeDown(config.Name); err != nil { // what one of that name who was killed left behind
		return nil, err
	}
	l.run, l.cancel = context.WithCancel(context.Background())
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", config.Name, err), l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	if err := l.own(); err != nil {
		return err
	}
	for _, stage := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"CNI plugins", l.plugins},
		{"namespaces and cables", func(context.Context) error { return l.build() }},
		{"API server", l.startAPI},
		{"control plane and kubelets", l.startStandIns},
		{"kube-router on every node", l.startDaemons},
	} {
		begun := time.Now()
		if err := stage.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
		if l.config.Progress != nil {
			l.config.Progress(stage.name, time.Since(begun))
		}
	}
	return nil
}

// startStandIns runs the control plane and a kubelet for each node, which hear of everything from one watch.
func (l *Lab) startStandIns(ctx context.Context) error {
	l.Watch = l.Client.NewWatch()
	plane := control.New(l.Client, l.Watch, l.log)
	for _, n := range l.Nodes() {
		l.startKubelet(n)
	}
	l.running.Go(func() { plane.Run(l.run) })
	l.running.Go(func() { l.Watch.Run(l.run) })
	return l.Watch.Synced(ctx)
}

func (l *Lab) startKubelet(n *Node) {
	k := kubelet.New(kubelet.Config{
		Node: n.Name, Machine: n.machine, HostIPs: n.Addrs(), CNIDir: filepath.Join(n.dir, "cni"), Plugins: l.config.pluginDirs(),
		Starting: l.starting, Client: l.Client, Log: l.log, Started: l.config.podStarted(), Self: podServerCommand,
		Programs: filepath.Dir(l.config.Daemon), DaemonRuns: n.DaemonRunning, DaemonLog: n.LogPath(),
	})
	n.kubelet.Store(k)
	l.running.Go(func() { k.Run(l.run, l.Watch) })
}

// startDaemons starts every node's daemon and waits until each node has its network.
func (l *Lab) startDaemons(ctx context.Context) error {
	if l.config.NoDaemon {
		return nil
	}
	for _, n := range l.Nodes() {
		if err := n.StartDaemon(); err != nil {
			return err
		}
	}
	return l.waitNodes(ctx)
}

// waitNodes waits until every node has its network.
func (l *Lab) waitNodes(ctx context.Context) error {
	return l.until(ctx, "nodes to be ready", func() (waiting []string) {
		for _, n := range kube.All[corev1.Node](l.Watch.Nodes, "") {
			if !nodeReady(n) {
				waiting = append(waiting, n.Name)
			}
		}
		return waiting
	})
}

// Close takes the whole lab down and returns when nothing of it is left.
func (l *Lab) Close() error {
	var err error
	l.closed.Do(func() {
		l.cancel()
		for _, h := range l.hosts { // first, so that nobody sees the API go away and complains
			if h.machine != nil {
				h.machine.Close()
			}
		}
		l.running.Wait()
		if l.api != nil {
			l.api.close()
		}
		if l.fabric != nil {
			l.fabric.Close()
		}
		if l.visitor {
			return
		}
		err = sweep(l.config.Name)
	})
	return err
}

// Name is the lab's name; its network namespaces are called "krlab-<name>-<host>".
func (l *Lab) Name() string { return l.config.Name }

// Dir is where the lab keeps its state: kubeconfig, and for each node its /run, its CNI configuration and its daemon's log.
func (l *Lab) Dir() string { return l.dir }

// Kubeconfig is the path of a kubeconfig file for use outside of the lab.
func (l *Lab) Kubeconfig() string { return filepath.Join(l.dir, "kubeconfig") }

// Node is the node of that name: n1, n2, and so on. It panics when there is none.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes() {
		if n.Name == name {
			return n
		}
	}
	panic("lab: no node " + name)
}

// Nodes are all nodes in order.
func (l *Lab) Nodes() []*Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.nodes)
}

// Outside is a host beyond the cluster's router.
func (l *Lab) Outside() *Host { return l.Host(OutsideName) }

// Host is any host: a node, "outside", or one of Config.Hosts. It panics when there is none of that name.
func (l *Lab) Host(name string) *Host {
	if h := l.findHost(name); h != nil {
		return h
	}
	panic("lab: no host " + name)
}

func (l *Lab) findHost(name string) *Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hosts[name]
}

// Fabric is the namespace that switches and routes between the hosts; its bridges are called br-net0, br-net1,
// ... and br-outside, their ports like the hosts.
func (l *Lab) Fabric() *netns.Space { return l.fabric }

// Pod is the running pod of that name, "namespace/name", or "name" in namespace default. It panics when there is none.
func (l *Lab) Pod(name string) *Host {
	if h := l.FindPod(name); h != nil {
		return h
	}
	panic("lab: no running pod " + name)
}

// FindPod is Pod, but nil when there is none.
func (l *Lab) FindPod(name string) *Host {
	if !strings.Contains(name, "/") {
		name = "default/" + name
	}
	if obj := kube.Find[corev1.Pod](l.Watch.Pods, name); obj != nil {
		return l.podOf(obj)
	}
	return nil
}

// FindHost is a host, or the pod of that name, as a user of the command line names them; nil when there is none.
func (l *Lab) FindHost(name string) *Host {
	if h := l.findHost(name); h != nil {
		return h
	}
	return l.FindPod(name)
}

func (l *Lab) podOf(obj *corev1.Pod) *Host {
	for _, n := range l.Nodes() {
		switch {
		case n.Name != obj.Spec.NodeName:
		case l.visitor:
			return n.visitPod(obj)
		default:
			if p := n.kubelet.Load().Find(obj.Namespace + "/" + obj.Name); p != nil {
				return podHost(p)
			}
		}
	}
	return nil
}

// Pods are the running pods of a namespace that a label selector takes, in the order of their names.
func (l *Lab) Pods(namespace, selector string) []*Host {
	match, err := labels.Parse(selector)
	if err != nil {
		panic("lab: " + err.Error())
	}
	var all []*Host
	for _, obj := range kube.All[corev1.Pod](l.Watch.Pods, namespace) {
		if obj.DeletionTimestamp != nil || !match.Matches(labels.Set(obj.Labels)) {
			continue
		}
		if h := l.podOf(obj); h != nil {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *Host) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// CheckManifest refuses a YAML manifest that no lab could apply, before there is one.
func CheckManifest(manifest string) error { return kube.Check([]byte(manifest)) }

// Apply creates or updates the objects of a YAML manifest.
func (l *Lab) Apply(ctx context.Context, manifest string) error {
	return l.Client.Apply(ctx, []byte(manifest))
}

// Delete deletes the objects of a YAML manifest.
func (l *Lab) Delete(ctx context.Context, manifest string) error {
	return l.Client.Remove(ctx, []byte(manifest))
}

// PutRaw stores one object of a YAML manifest as it is, though the API server would refuse it: what checks it then is the daemon
// alone. It needs the lab's own API server.
func (l *Lab) PutRaw(manifest string) error {
	if l.api.server == nil {
		return errors.New("raw object: the API server is another's")
	}
	return l.api.server.PutRaw([]byte(manifest))
}

// SetAPIDown takes the API server away from the nodes (true), with connections refused as if it had died, or gives it back. The lab's
// own stand-ins keep theirs, so that the world can go on changing meanwhile.
func (l *Lab) SetAPIDown(down bool) error { return l.api.setDown(down) }

// Logs writes the last lines of every daemon's log, for a test that failed.
func (l *Lab) Logs(w io.Writer, lines int) {
	for _, n := range l.Nodes() {
		text := strings.Split(strings.TrimSpace(n.DaemonLog()), "\n")
		fmt.Fprintf(w, "--- %s\n%s\n", n.Name, strings.Join(text[max(0, len(text)-lines):], "\n"))
	}
}

// Failures are the lines of the daemons' logs that tell of rows or tables that failed, if only for a moment.
func (l *Lab) Failures() (lines []string) {
	for _, n := range l.Nodes() {
		for line := range strings.Lines(n.DaemonLog()) {
			if strings.Contains(line, `msg="row fails"`) || strings.Contains(line, `msg="table fails"`) {
				lines = append(lines, n.Name+": "+strings.TrimSpace(line))
			}
		}
	}
	return lines
}
