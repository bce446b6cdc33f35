package lab_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/apiserver"
	"kube-router/internal/lab/probe"
)

const lone = `
apiVersion: v1
kind: Pod
metadata: {name: lone}
spec: {nodeName: n2, terminationGracePeriodSeconds: 1, containers: [{name: c, image: lab}]}
`

func TestANodeJoins(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	n2, err := l.AddNode(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	standIn(t, l)
	apply(t, ctx, l, lone)
	to := netip.AddrPortFrom(l.Pod("lone").IPv6(), 8080)
	if r := l.Node("n1").Probe(probe.Request{To: to}); r.Pod != "default/lone" || r.Node != "n2" {
		t.Errorf("pod on the node that joined: %v", r)
	}
	if err := n2.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if r := l.Node("n1").Probe(probe.Request{To: to}); r.OK() {
		t.Errorf("pod on a node without power: %v", r)
	}
}

// TestAnotherAPIServer: a lab on an API server that isn't its own, which deletes pods at once.
func TestAnotherAPIServer(t *testing.T) {
	server, err := apiserver.New(apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go server.Run(serving, listener)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err = os.WriteFile(path, server.Kubeconfig("http://"+listener.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l, ctx := start(t, lab.Config{Nodes: 2, Kubeconfig: path})
	apply(t, ctx, l, lone)
	to := netip.AddrPortFrom(l.Pod("lone").IPv4(), 8080)
	if r := l.Node("n1").Probe(probe.Request{To: to}); r.Pod != "default/lone" {
		t.Error(r)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "lone"}}
	if err = l.Client.Delete(ctx, pod, nil); err != nil {
		t.Fatal(err)
	}
	err = l.Until(ctx, "the server to be gone", func() error {
		if r := l.Node("n1").Probe(probe.Request{To: to}); r.OK() {
			return os.ErrExist
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
