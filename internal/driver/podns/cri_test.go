package podns

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kube-router/internal/row"
)

// containers is a container runtime with one sandbox.
type containers struct {
	cri.UnimplementedRuntimeServiceServer
}

// ListPodSandbox knows the pod default/web.
func (containers) ListPodSandbox(_ context.Context, q *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	if q.Filter.LabelSelector[labelName] != "web" || q.Filter.LabelSelector[labelNamespace] != "default" {
		return &cri.ListPodSandboxResponse{}, nil
	}
	return &cri.ListPodSandboxResponse{Items: []*cri.PodSandbox{{Id: "1"}}}, nil
}

// PodSandboxStatus tells the namespace as containerd does.
func (containers) PodSandboxStatus(context.Context, *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	return &cri.PodSandboxStatusResponse{Info: map[string]string{
		"info": `{"pid": 7, "runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": "/run/netns/web"}]}}}`,
	}}, nil
}

// The runtime of --runtime-endpoint is asked for a pod's namespace, by a path or by an address.
func TestRuntimeIsAsked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, containers{})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	for _, endpoint := range []string{socket, "unix://" + socket} {
		have, err := sandboxes(t.Context(), endpoint, row.KubeName{Namespace: "default", Name: "web"})
		if err != nil || !slices.Equal(have, []string{"/run/netns/web"}) {
			t.Errorf("%s: %v, %v", endpoint, have, err)
		}
	}
	if have, err := sandboxes(t.Context(), socket, row.KubeName{Namespace: "default", Name: "none"}); err != nil || len(have) > 0 {
		t.Errorf("a pod that isn't there: %v, %v", have, err)
	}
	if _, err := sandboxes(t.Context(), socket+"x", row.KubeName{Namespace: "default", Name: "web"}); err == nil {
		t.Error("no runtime is no error")
	}
}
