package deploy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chartParts are the templates of the Helm chart that are made from the kustomize folders: what each is made of, and of
// which values it is a part. The DaemonSet is a template of its own; test/chart holds it to what the overlays say, with Helm itself.
var chartParts = []struct{ name, when, from string }{
	{"account", "", "base/account.yaml"},
	{"kubeconfig", ".Values.apiServer", "kubeconfig-map/map.yaml"},
	{"network", ".Values.podNetwork", "network/node-status.yaml"},
	{"bgp", ".Values.router", "bgp-rights/rights.yaml"},
	{"services", "or .Values.serviceProxy .Values.router", "service-rights/rights.yaml"},
	{"pods", "and .Values.serviceProxy (not .Values.firewall)", "overlays/kube-router-proxy-daemonset/pods.yaml"},
	{"policy", ".Values.firewall", "policy-rights/rights.yaml"},
	{"balancer", ".Values.loadBalancer", "balancer-rights/rights.yaml"},
	{"egress", ".Values.egress", "egress/rights.yaml"},
	{"crds", ".Values.crds", "crds/*.yaml"},
	{"policy-crd", "and .Values.crds .Values.firewall", "policy-crd/*.yaml"},
}

// inChart replaces what is fixed in a manifest and chosen in a chart.
var inChart = strings.NewReplacer(
	"{{", `{{"{{"}}`,
	"namespace: kube-system", "namespace: {{ .Release.Namespace }}",
	"serviceaccount:kube-system:", "serviceaccount:{{ .Release.Namespace }}:",
	`"%APISERVER%"`, "{{ .Values.apiServer | quote }}",
)

func TestTheChartIsMadeFromTheManifests(t *testing.T) {
	for _, part := range chartParts {
		var b bytes.Buffer
		fmt.Fprintf(&b, "# Made from kustomize/%s; change it there.\n", part.from)
		if part.when != "" {
			fmt.Fprintf(&b, "{{- if %s }}\n", part.when)
		}
		files, err := filepath.Glob(filepath.Join("kustomize", part.from))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files: %v", part.from, err)
		}
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			text := inChart.Replace(string(read(t, file)))
			if strings.Contains(part.name, "crd") {
				text = kept(t, file, text)
			}
			fmt.Fprintf(&b, "---\n%s", strings.TrimPrefix(text, "---\n"))
		}
		if part.when != "" {
			b.WriteString("{{- end }}\n")
		}

		path := filepath.Join("chart/templates", part.name+".yaml")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(b.String(), string(read(t, path))); diff != "" {
			t.Errorf("%s is not what the manifests say (go test ./deploy -update):\n%s", path, diff)
		}
	}
}

// kept marks a CustomResourceDefinition to stay when the chart is removed.
func kept(t *testing.T, file, text string) string {
	t.Helper()
	const policy = "    helm.sh/resource-policy: keep\n"
	if head, rest, ok := strings.Cut(text, "  annotations:\n"); ok {
		return head + "  annotations:\n" + policy + rest
	}
	head, rest, ok := strings.Cut(text, "metadata:\n")
	if !ok {
		t.Fatalf("%s has no metadata", file)
	}
	return head + "metadata:\n  annotations:\n" + policy + rest
}

// TestTheChartHasEveryRight finds a folder of the manifests that the chart forgot.
func TestTheChartHasEveryRight(t *testing.T) {
	files, err := filepath.Glob("kustomize/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file = filepath.ToSlash(file); !bytes.Contains(read(t, file), []byte("kind: ClusterRole\n")) {
			continue
		}
		found := false
		for _, part := range chartParts {
			found = found || file == "kustomize/"+part.from
		}
		if !found {
			t.Errorf("%s is in no part of the chart", file)
		}
	}
}
