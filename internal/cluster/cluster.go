// Package cluster asks all nodes from one place: it finds the daemons' pods and runs the daemon's own program in them, through the API server and with
// the rights of whoever asks. It opens no port, needs nothing on the nodes beside kube-router, and goes on where nodes don't answer, saying which.
//
// It stands beside the picture of ARCHITECTURE.md, on the operator's machine, and imports none of its rooms, so that it builds where no node runs.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

const (
	// DefaultSelector takes the pods of deploy's manifests.
	DefaultSelector = "k8s-app=kube-router"
	// DefaultNamespace is where those manifests have them.
	DefaultNamespace = "kube-system"
	// DefaultPatience is how long a node may take for an answer.
	DefaultPatience = 10 * time.Second
	// listing is how long the API server may take for a list.
	listing = 30 * time.Second
	// atOnce is how many nodes are asked at the same time.
	atOnce = 32
)

// Cluster is a cluster as its API server shows it.
type Cluster struct {
	Namespace string        // of objects that are named without one
	Selector  string        // of the daemons' pods; "" is DefaultSelector
	Home      string        // namespace of the daemons' pods; "" is DefaultNamespace
	Patience  time.Duration // for each node; 0 is DefaultPatience

	config *rest.Config
	groups map[string]*rest.RESTClient // by group
	params runtime.ParameterCodec
}

// Node is one node with the daemon's pod on it.
type Node struct {
	Name   string
	Object *corev1.Node // nil for a pod on a node that the API doesn't have
	Pod    *corev1.Pod  // nil where no daemon's pod is
}

// Open makes a Cluster for a client configuration.
func Open(config *rest.Config, namespace string) (*Cluster, error) {
	c := &Cluster{Namespace: namespace, Selector: DefaultSelector, Home: DefaultNamespace, Patience: DefaultPatience, groups: map[string]*rest.RESTClient{}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("API types: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	c.params = runtime.NewParameterCodec(scheme)
	c.config = rest.CopyConfig(config)
	c.config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.config.QPS, c.config.Burst = 50, 100
	for _, gv := range []schema.GroupVersion{corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion} {
		of := rest.CopyConfig(c.config)
		of.GroupVersion, of.APIPath = &gv, "/apis"
		if gv.Group == "" {
			of.APIPath = "/api"
		}
		client, err := rest.RESTClientFor(of)
		if err != nil {
			return nil, fmt.Errorf("API client: %w", err)
		}
		c.groups[gv.Group] = client
	}
	return c, nil
}

func (c *Cluster) core() *rest.RESTClient { return c.groups[""] }

// list reads a list of objects, of all namespaces when namespace is empty.
func (c *Cluster) list(ctx context.Context, group, resource, namespace string, opts metav1.ListOptions, into runtime.Object) error {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	err := c.groups[group].Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).VersionedParams(&opts, c.params).Do(ctx).Into(into)
	if err != nil {
		return fmt.Errorf("list %s: %w", resource, err)
	}
	return nil
}

// Nodes are the nodes that run Linux, or a daemon's pod, in the order of their names. A caller who may not list nodes gets those that have a pod.
func (c *Cluster) Nodes(ctx context.Context) ([]Node, error) {
	var pods corev1.PodList
	if err := c.list(ctx, "", "pods", c.Home, metav1.ListOptions{LabelSelector: c.Selector}, &pods); err != nil {
		return nil, err
	}
	var objects corev1.NodeList
	if err := c.list(ctx, "", "nodes", "", metav1.ListOptions{}, &objects); err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	all := map[string]*Node{}
	for i, n := range objects.Items {
		if system := n.Labels[corev1.LabelOSStable]; system == "" || system == "linux" {
			all[n.Name] = &Node{Name: n.Name, Object: &objects.Items[i]}
		}
	}
	for i, p := range pods.Items {
		if p.Spec.NodeName == "" {
			continue
		}
		n := all[p.Spec.NodeName]
		if n == nil {
			n = &Node{Name: p.Spec.NodeName}
			all[n.Name] = n
		}
		if n.Pod == nil || better(&pods.Items[i], n.Pod) {
			n.Pod = &pods.Items[i]
		}
	}
	var list []Node
	for _, n := range all {
		list = append(list, *n)
	}
	slices.SortFunc(list, func(a, b Node) int { return natural(a.Name, b.Name) })
	if len(list) == 0 {
		return nil, fmt.Errorf("no node, and no pod %s in namespace %s", c.Selector, c.Home)
	}
	if !slices.ContainsFunc(list, func(n Node) bool { return n.Pod != nil }) {
		return nil, fmt.Errorf("no pod %s in namespace %s: is kube-router there under other names? See --daemon-selector and --daemon-namespace", c.Selector, c.Home)
	}
	return list, nil
}

// better chooses between two pods of one node, as there are while one replaces the other.
func better(a, b *corev1.Pod) bool {
	if (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
		return a.DeletionTimestamp == nil
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

// natural orders n2 before n10.
func natural(a, b string) int {
	if len(a) != len(b) && strings.TrimRight(a, "0123456789") == strings.TrimRight(b, "0123456789") {
		return cmp.Compare(len(a), len(b))
	}
	return cmp.Compare(a, b)
}

// Named are those of the nodes that the names say, all without names. An unknown name is an error.
func Named(all []Node, names []string) ([]Node, error) {
	if len(names) == 0 {
		return all, nil
	}
	var some []Node
	for _, name := range names {
		i := slices.IndexFunc(all, func(n Node) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no node %q", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// container is the daemon's container of its pod.
func container(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		if c.Name == "kube-router" {
			return c.Name
		}
	}
	return pod.Spec.Containers[0].Name
}

// ready tells whether the kubelet of the node answers the API server, as far as that knows.
func (n Node) ready() bool {
	if n.Object == nil {
		return true
	}
	for _, c := range n.Object.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}
