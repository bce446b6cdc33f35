package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// most is how many objects of a kind a bundle takes.
const most = 5000

// kept is a kind of object in a bundle: what is kept of each is listed, the rest isn't collected. Secrets and ConfigMaps are not even read.
type kept struct {
	path  string // below the server's root
	name  string // of the file
	paths []string
}

// keptKinds are those that kube-router's work follows from. A field that may hold a secret, such as a container's environment, is not in the list.
func keptKinds() []kept {
	meta := []string{"metadata.name", "metadata.namespace", "metadata.labels", "metadata.creationTimestamp", "metadata.deletionTimestamp", "metadata.generation"}
	with := func(more ...string) []string { return append(more, meta...) }
	return []kept{
		{"/api/v1/nodes", "nodes", with("spec.podCIDR", "spec.podCIDRs", "spec.taints", "spec.unschedulable", "status.addresses", "status.conditions", "status.nodeInfo")},
		{"/api/v1/namespaces", "namespaces", with("status.phase")},
		{"/api/v1/pods", "pods", with("spec.nodeName", "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.hostIP", "status.startTime",
			"status.conditions")},
		{"/api/v1/services", "services", with("spec", "status")},
		{"/apis/discovery.k8s.io/v1/endpointslices", "endpointslices", with("addressType", "endpoints", "ports")},
		{"/apis/networking.k8s.io/v1/networkpolicies", "networkpolicies", with("spec")},
		{"/api/v1/events", "events", with("involvedObject", "reason", "message", "type", "count", "firstTimestamp", "lastTimestamp", "reportingComponent", "eventTime")},
	}
}

// keptAnnotation tells whether an annotation's value may be shown: those that kube-router and Services have a meaning for, but for passwords. What kubectl
// applied last holds the whole object, and anything may be in another's.
func keptAnnotation(key string) bool {
	if strings.Contains(key, "password") {
		return false
	}
	for _, prefix := range []string{"kube-router.io/", "service.kubernetes.io/", "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// objects reads the objects of a kind and returns what is kept of them as YAML, with a note if these are not all.
func (c *Cluster) objects(ctx context.Context, k kept) (text []byte, note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	raw, err := c.core().Get().AbsPath(k.path).Param("limit", fmt.Sprint(most)).DoRaw(ctx)
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Items []map[string]any `json:"items"`
	}
	decode := json.NewDecoder(bytes.NewReader(raw))
	decode.UseNumber()
	if err := decode.Decode(&list); err != nil {
		return nil, "", fmt.Errorf("%s: %w", k.path, err)
	}
	if list.Metadata.Continue != "" {
		note = fmt.Sprintf("only the first %d", len(list.Items))
	}
	var out bytes.Buffer
	for _, item := range list.Items {
		part, err := yaml.Marshal(k.keep(item))
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", k.path, err)
		}
		out.WriteString("---\n")
		out.Write(part)
	}
	return out.Bytes(), note, nil
}

// keep copies what is listed, and of annotations the values that may be shown; of others their names.
func (k kept) keep(item map[string]any) map[string]any {
	to := map[string]any{}
	for _, path := range k.paths {
		words := strings.Split(path, ".")
		from, into := item, to
		for i, word := range words {
			value, ok := from[word]
			if !ok {
				break
			}
			if i == len(words)-1 {
				into[word] = value
				break
			}
			next, ok := value.(map[string]any)
			if !ok {
				break
			}
			if _, ok := into[word].(map[string]any); !ok {
				into[word] = map[string]any{}
			}
			from, into = next, into[word].(map[string]any)
		}
	}
	meta, _ := item["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	shown := map[string]any{}
	for key, value := range annotations {
		if shown[key] = "(left out)"; keptAnnotation(key) {
			shown[key] = value
		}
	}
	if m, ok := to["metadata"].(map[string]any); ok && len(shown) > 0 {
		m["annotations"] = shown
	}
	return to
}
