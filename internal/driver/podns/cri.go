package podns

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kube-router/internal/row"
)

// The labels that kubelet gives to every sandbox.
const (
	labelName      = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
)

// patience bounds one question to the runtime.
const patience = 5 * time.Second

// sandboxes asks the container runtime (CRI v1) for the network namespaces of a pod's ready sandboxes.
func sandboxes(ctx context.Context, endpoint string, pod row.KubeName) ([]string, error) {
	if strings.HasPrefix(endpoint, "/") {
		endpoint = "unix://" + endpoint
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := cri.NewRuntimeServiceClient(conn)
	list, err := client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{
		State:         &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{labelName: pod.Name, labelNamespace: pod.Namespace},
	}})
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, s := range list.Items {
		status, err := client.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: s.Id, Verbose: true})
		if err != nil {
			return nil, err
		}
		if path := namespacePath(status.Info["info"]); path != "" {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// namespacePath reads the network namespace out of what containerd and CRI-O say beyond the protocol: the OCI
// runtime specification, and the sandbox's process.
func namespacePath(info string) string {
	var v struct {
		PID  int `json:"pid"`
		Spec struct {
			Linux struct {
				Namespaces []struct{ Type, Path string } `json:"namespaces"`
			} `json:"linux"`
		} `json:"runtimeSpec"`
	}
	if json.Unmarshal([]byte(info), &v) != nil {
		return ""
	}
	for _, n := range v.Spec.Linux.Namespaces {
		if n.Type == "network" && n.Path != "" {
			return n.Path
		}
	}
	if v.PID > 0 {
		return fmt.Sprintf("/proc/%d/ns/net", v.PID)
	}
	return ""
}
