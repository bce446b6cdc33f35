package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/netns"
)

const (
	nodeAPI        = "127.0.0.1:6443"      // where a node finds the API server, whatever its network is like
	nodeKubeconfig = "/run/lab/kubeconfig" // as the node sees it
)

// serviceCIDRs are the ranges of cluster IPs.
func serviceCIDRs() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
}

// api is the way to the API server: a listener in each node's namespace, whose connections are passed on from the lab's own, so that
// the daemons reach it without any network.
type api struct {
	target string
	nodes  func() []*Node
	mu     sync.Mutex
	inner  []byte // the nodes' kubeconfig
	open   map[io.Closer]bool
	down   bool
	server *apiserver.Server // nil with another's
}

// startAPI starts the API server, or turns to the one that is given, and makes the cluster's Node objects.
func (l *Lab) startAPI(ctx context.Context) error {
	l.api = &api{nodes: l.Nodes, open: map[io.Closer]bool{}}
	if err := l.findAPI(); err != nil {
		return err
	}
	if err := os.WriteFile(l.Kubeconfig(), l.kubeconfig, 0o600); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	var err error
	if l.Client, err = kube.New(l.kubeconfig); err != nil {
		return err
	}
	if l.api.inner, err = l.api.aim(l.kubeconfig); err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if err := l.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace default: %w", err)
	}
	for _, n := range l.Nodes() {
		if err := l.join(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// join gives a node its way to the API server, and the API server the node.
func (l *Lab) join(ctx context.Context, n *Node) error {
	path := filepath.Join(n.RunDir(), "lab", "kubeconfig")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, l.api.inner, 0o600)); err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", n.Name, err)
	}
	if err := l.api.admit(n); err != nil {
		return err
	}
	if err := l.register(ctx, n); err != nil {
		return err
	}
	return l.addDaemonPod(ctx, n)
}

func (l *Lab) findAPI() error {
	if l.config.Kubeconfig != "" {
		return l.readKubeconfig()
	}
	server, err := apiserver.New(apiserver.Options{ServiceCIDRs: l.config.Families.keep(serviceCIDRs()...), GracefulPods: true, Kubelets: kubelets{l}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	l.api.server = server
	l.kubeconfig = server.Kubeconfig("http://" + listener.Addr().String())
	l.running.Go(func() {
		if err := server.Run(l.run, listener); err != nil {
			l.log.Error("lab API server", "error", err)
		}
	})
	return nil
}

// readKubeconfig takes the given file with all that it refers to, for it will be read elsewhere.
func (l *Lab) readKubeconfig() error {
	config, err := clientcmd.LoadFromFile(l.config.Kubeconfig)
	if err == nil {
		err = clientcmd.ResolveLocalPaths(config)
	}
	if err == nil {
		err = clientcmdapi.FlattenConfig(config)
	}
	if err == nil {
		l.kubeconfig, err = clientcmd.Write(*config)
	}
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", l.config.Kubeconfig, err)
	}
	return nil
}

// aim notes where the kubeconfig's server is, and returns the kubeconfig with the way through the node's own listener instead.
func (a *api) aim(kubeconfig []byte) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil {
		return nil, errors.New("kubeconfig: no current context with a cluster")
	}
	cluster := config.Clusters[current.Cluster]
	server, err := url.Parse(cluster.Server)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	a.target = server.Host
	if server.Port() == "" {
		a.target = net.JoinHostPort(server.Hostname(), map[string]string{"http": "80", "https": "443"}[server.Scheme])
	}
	if server.Scheme == "https" && cluster.TLSServerName == "" {
		cluster.TLSServerName = server.Hostname()
	}
	server.Host = nodeAPI
	cluster.Server = server.String()
	return clientcmd.Write(*config)
}

// setDown closes every listener and connection of the nodes, or opens the listeners again.
func (a *api) setDown(down bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down == down {
		return nil
	}
	a.down = down
	if down {
		for c := range a.open {
			c.Close()
		}
		clear(a.open)
		return nil
	}
	for _, n := range a.nodes() {
		if err := a.listen(n.machine.Space); err != nil {
			return fmt.Errorf("way to the API server from %s: %w", n.Name, err)
		}
	}
	return nil
}

// admit opens the listener of one more node, unless there is an outage.
func (a *api) admit(n *Node) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return nil
	}
	if err := a.listen(n.machine.Space); err != nil {
		return fmt.Errorf("way to the API server from %s: %w", n.Name, err)
	}
	return nil
}

func (a *api) listen(space *netns.Space) error {
	var listener net.Listener
	err := space.Do(func() (err error) {
		listener, err = net.Listen("tcp", nodeAPI)
		return err
	})
	if err != nil {
		return err
	}
	a.open[listener] = true
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go a.pass(from)
		}
	}()
	return nil
}

// pass joins a node's connection to one to the server until either ends.
func (a *api) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", a.target)
	if err != nil {
		from.(*net.TCPConn).SetLinger(0) // a reset, as near to a refusal as can be after accepting
		return
	}
	defer to.Close()
	a.mu.Lock()
	if a.down {
		a.mu.Unlock()
		return
	}
	a.open[from], a.open[to] = true, true
	a.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, from)
	delete(a.open, to)
}

func (a *api) close() {
	a.setDown(true) // down can't fail
}

// register makes the Node object, or puts the lab's labels and addresses on one that is there.
func (l *Lab) register(ctx context.Context, n *Node) error {
	obj := l.nodeObject(n)
	labels, status := obj.Labels, obj.Status
	err := l.Client.Create(ctx, obj)
	if apierrors.IsAlreadyExists(err) {
		err = l.Client.Merge(ctx, obj, "", map[string]any{"metadata": map[string]any{"labels": labels}})
	}
	if err == nil {
		err = l.Client.Merge(ctx, obj, "status", map[string]any{"status": status})
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

func (l *Lab) nodeObject(n *Node) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{
		corev1.LabelHostname: n.Name, corev1.LabelOSStable: "linux",
		corev1.LabelTopologyZone: fmt.Sprintf("z%d", 1+(n.number-1)%l.config.Zones),
	}}}
	for _, p := range podCIDRs(l.config.Families, n.number) {
		node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, p.String())
	}
	node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
	for _, a := range n.Addrs() {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.Name})
	node.Status.NodeInfo.KubeletVersion = "lab"
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "NetworkPluginNotReady",
		Message: "no CNI configuration yet", LastTransitionTime: now, LastHeartbeatTime: now}}
	return node
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
