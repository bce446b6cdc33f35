package lab

import (
	"context"
	"fmt"
	"io"
	"net"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab/kubelet"
	"kube-router/internal/lab/podstream"
)

// daemonNamespace is where the manifests of deploy have the DaemonSet.
const daemonNamespace = "kube-system"

// kubelets is the API server's way into the lab's pods.
type kubelets struct{ lab *Lab }

// pod is the running pod on its node.
func (k kubelets) pod(obj *corev1.Pod) (*kubelet.Pod, error) {
	for _, n := range k.lab.Nodes() {
		if kubelet := n.kubelet.Load(); n.Name == obj.Spec.NodeName && kubelet != nil {
			if p := kubelet.Find(obj.Namespace + "/" + obj.Name); p != nil {
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("pod %s/%s does not run on node %s", obj.Namespace, obj.Name, obj.Spec.NodeName)
}

// Exec is apiserver.Kubelets'.
func (k kubelets) Exec(ctx context.Context, obj *corev1.Pod, _ string, command []string, tty bool, s podstream.Streams) error {
	p, err := k.pod(obj)
	if err != nil {
		return err
	}
	return p.Exec(ctx, command, tty, s)
}

// Log is apiserver.Kubelets'.
func (k kubelets) Log(ctx context.Context, obj *corev1.Pod, opts *corev1.PodLogOptions, to io.Writer) error {
	p, err := k.pod(obj)
	if err != nil {
		return err
	}
	return p.Log(ctx, opts, to)
}

// Dial is apiserver.Kubelets'.
func (k kubelets) Dial(ctx context.Context, obj *corev1.Pod, port uint16) (net.Conn, error) {
	p, err := k.pod(obj)
	if err != nil {
		return nil, err
	}
	return p.Dial(ctx, port)
}

// addDaemonPod makes the pod that stands for the node's kube-router, as the DaemonSet's pod does in a cluster. The lab runs the daemon; the pod is where the
// API shows it and the way in. Another's API server has no way to the lab's kubelets, so that there it would lead nowhere.
func (l *Lab) addDaemonPod(ctx context.Context, n *Node) error {
	if !l.config.DaemonPods || l.config.NoDaemon || l.api.server == nil {
		return nil
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: daemonNamespace}}
	if err := l.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s: %w", daemonNamespace, err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "kube-router-" + n.Name, Namespace: daemonNamespace, Labels: map[string]string{"k8s-app": "kube-router", "tier": "node"},
		Annotations: map[string]string{kubelet.DaemonAnnotation: "true"},
	}}
	pod.Spec = corev1.PodSpec{
		NodeName: n.Name, HostNetwork: true, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Containers: []corev1.Container{{Name: "kube-router", Image: "lab/kube-router"}},
	}
	if err := l.Client.Create(ctx, pod); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("daemon pod of %s: %w", n.Name, err)
	}
	return nil
}
