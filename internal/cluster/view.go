package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// View runs a view of the daemons (`show WHAT`, `why …`) where it belongs, and prints the answers as they are, each below its node's name. Without
// names of nodes, arguments that are pods, addresses of pods, nodes or addresses of nodes say which nodes are asked; else everywhere asks all nodes, and
// otherwise the first that answers.
func (c *Cluster) View(ctx context.Context, names []string, everywhere bool, command string, args []string, w io.Writer, format string) (Verdict, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return Unknown, err
	}
	nodes, err := Named(all, names)
	if err != nil {
		return Unknown, err
	}
	words, at, err := c.places(ctx, all, args)
	if err != nil {
		return Unknown, err
	}
	line := append([]string{command, "-o", format, "--"}, words...)
	switch {
	case len(names) > 0 || len(at) == 0 && everywhere:
	case len(at) == 0:
		return c.first(ctx, all, line, w)
	default:
		nodes = at
	}
	v := Well
	for _, a := range c.AskAll(ctx, nodes, line...) {
		if len(nodes) > 1 {
			if _, err := fmt.Fprintf(w, "==> %s <==\n", a.Node.Name); err != nil {
				return v, err
			}
		}
		one, err := a.pass(w)
		if err != nil {
			return v, err
		}
		v = max(v, one)
	}
	return v, nil
}

// first asks one node after the other until one answers; all of them know the same about the cluster.
func (c *Cluster) first(ctx context.Context, nodes []Node, line []string, w io.Writer) (Verdict, error) {
	ready := func(n Node) bool { return n.Pod != nil && n.ready() }
	slices.SortStableFunc(nodes, func(a, b Node) int {
		switch {
		case ready(a) == ready(b):
			return 0
		case ready(a):
			return -1
		}
		return 1
	})
	var silent []string
	for _, n := range nodes {
		a := c.Ask(ctx, n, line...)
		if a.Silent == "" {
			return a.pass(w)
		}
		if silent = append(silent, n.Name+": "+a.Silent); len(silent) == 3 || ctx.Err() != nil {
			break
		}
	}
	return Unknown, fmt.Errorf("no node answers: %s", strings.Join(silent, "; "))
}

// pass prints an answer as it came.
func (a Answer) pass(w io.Writer) (Verdict, error) {
	if a.Silent != "" {
		_, err := fmt.Fprintf(w, "SILENT %s\n", a.Silent)
		return Unknown, err
	}
	if _, err := w.Write(a.Out); err != nil {
		return Well, err
	}
	if a.Said != "" {
		if _, err := fmt.Fprintln(w, a.Said); err != nil {
			return Well, err
		}
	}
	if a.Code != 0 {
		return Unwell, nil
	}
	return Well, nil
}

// places looks arguments up in the API. What is named without a namespace is in the cluster's. It returns them as the daemon knows them, and the nodes
// that they are on, each once.
func (c *Cluster) places(ctx context.Context, all []Node, args []string) (words []string, at []Node, err error) {
	for _, arg := range args {
		word, node, err := c.place(ctx, all, arg)
		if err != nil {
			return nil, nil, err
		}
		words = append(words, word)
		i := slices.IndexFunc(all, func(n Node) bool { return n.Name == node })
		if node != "" && i >= 0 && !slices.ContainsFunc(at, func(n Node) bool { return n.Name == node }) {
			at = append(at, all[i])
		}
	}
	return words, at, nil
}

// place is one argument as the daemon knows it, and the node that it is on; "" for none.
func (c *Cluster) place(ctx context.Context, all []Node, arg string) (word, node string, err error) {
	ip, err := netip.ParseAddr(arg)
	if at, failed := netip.ParseAddrPort(arg); err != nil && failed == nil {
		ip, err = at.Addr(), nil
	}
	if err == nil {
		node, err = c.nodeAt(ctx, all, ip)
		return arg, node, err
	}
	if slices.ContainsFunc(all, func(n Node) bool { return n.Name == arg }) {
		return arg, arg, nil
	}
	namespace, name, ok := strings.Cut(strings.TrimPrefix(arg, "pod/"), "/")
	if !ok {
		namespace, name = c.Namespace, namespace
	}
	if !object(namespace) || !object(name) {
		return arg, "", nil
	}
	var pod corev1.Pod
	err = c.get(ctx, "pods", namespace, name, &pod)
	switch {
	case err == nil:
		return namespace + "/" + name, pod.Spec.NodeName, nil
	case !apierrors.IsNotFound(err):
		return "", "", err
	}
	var service corev1.Service
	err = c.get(ctx, "services", namespace, name, &service)
	switch {
	case err == nil:
		return namespace + "/" + name, "", nil
	case !apierrors.IsNotFound(err):
		return "", "", err
	}
	return arg, "", nil // the daemon will say what it thinks of it
}

// object tells whether a word can be the name of an object: neither a number nor "80/tcp" asks the API server.
func object(word string) bool {
	return word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && strings.Trim(word, "0123456789") != ""
}

func (c *Cluster) get(ctx context.Context, resource, namespace, name string, into runtime.Object) error {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	return c.core().Get().Namespace(namespace).Resource(resource).Name(name).Do(ctx).Into(into)
}

// nodeAt is the node that has the address, or the pod that has it.
func (c *Cluster) nodeAt(ctx context.Context, all []Node, ip netip.Addr) (string, error) {
	for _, n := range all {
		if n.Object == nil {
			continue
		}
		for _, a := range n.Object.Status.Addresses {
			if a.Address == ip.String() {
				return n.Name, nil
			}
		}
		for _, text := range podRanges(n.Object) {
			if p, err := netip.ParsePrefix(text); err == nil && p.Contains(ip) {
				return n.Name, nil
			}
		}
	}
	var pods corev1.PodList
	if err := c.list(ctx, "", "pods", "", metav1.ListOptions{FieldSelector: "status.podIP=" + ip.String()}, &pods); err != nil {
		if apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
			return "", nil
		}
		return "", err
	}
	for _, p := range pods.Items {
		if !p.Spec.HostNetwork {
			return p.Spec.NodeName, nil
		}
	}
	return "", nil
}
