// Package chart lints and renders the Helm chart with Helm's own engine. It is a module of its own, so that kube-router
// needs nothing of what Helm needs.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../deploy/chart"

type object = map[string]any

// sameAs are the values with which the chart must make what each overlay of deploy/rendered makes.
var sameAs = map[string]string{
	"kubeadm-kuberouter":                         `{serviceProxy: false}`,
	"kubeadm-kuberouter-all-features":            `{kubeconfig: kubeadm}`,
	"kubeadm-kuberouter-all-features-dsr":        `{kubeconfig: kubeadm, directReturn: true}`,
	"kubeadm-kuberouter-all-features-encryption": `{kubeconfig: kubeadm, encryption: true}`,
	"kubeadm-kuberouter-all-features-fastpath":   `{kubeconfig: kubeadm, fastPath: true}`,
	"generic-kuberouter":                         `{apiServer: "%APISERVER%", serviceProxy: false}`,
	"generic-kuberouter-all-features":            `{apiServer: "%APISERVER%"}`,
	"kube-router-all-service-daemonset":          `{kubeconfig: host}`,
	"kube-router-firewall-daemonset":             `{router: false, serviceProxy: false, podNetwork: false, config: {bgp-graceful-restart: null}}`,
	"kube-router-proxy-daemonset":                `{router: false, firewall: false, podNetwork: false, kubeconfig: host, config: {bgp-graceful-restart: null}}`,
	"generic-kuberouter-loadbalancer": `{apiServer: "%APISERVER%", loadBalancer: true, config: {cluster-asn: 64512, peer-router-ips: [192.0.2.1],
  peer-router-asns: [64513], advertise-loadbalancer-ip: true, loadbalancer-ip-range: [203.0.113.0/24]}}`,
	"generic-kuberouter-only-advertise-routes": `{firewall: false, serviceProxy: false, podNetwork: false, config: {enable-cni: false, enable-ibgp: false,
  enable-overlay: false, enable-pod-egress: false, advertise-pod-cidr: false, cluster-asn: 64512, peer-router-ips: 192.0.2.1, peer-router-asns: 64513,
  advertise-cluster-ip: true, advertise-external-ip: true, advertise-loadbalancer-ip: true,
  service-external-ip-range: 198.51.100.0/24, loadbalancer-ip-range: 203.0.113.0/24}}`,
}

func TestTheChartMakesWhatTheOverlaysMake(t *testing.T) {
	for overlay, values := range sameAs {
		text, err := os.ReadFile("../../deploy/rendered/" + overlay + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		want, have := objects(t, string(text)), render(t, values+"\n")
		for id, o := range want {
			switch other, ok := have[id]; {
			case strings.HasPrefix(id, "CustomResourceDefinition ") && ok: // the chart's are marked to stay
			case !ok:
				t.Errorf("%s: the chart lacks %s", overlay, id)
			case !equality.Semantic.DeepEqual(o, other):
				t.Errorf("%s: %s differs:\n%s\nthe chart says:\n%s", overlay, id, printed(o), printed(other))
			}
			delete(have, id)
		}
		for id := range have {
			if !strings.HasPrefix(id, "CustomResourceDefinition ") { // users choose whether the chart brings them
				t.Errorf("%s: the chart makes %s too", overlay, id)
			}
		}
	}
}

func TestTheChartIsClean(t *testing.T) {
	for _, values := range []string{`{}`, `{apiServer: "https://192.0.2.10:6443", loadBalancer: true, egress: true, encryption: true, directReturn: true, fastPath: true}`} {
		linted := lint.RunAll(chartDir, parsed(t, values), "kube-system")
		for _, m := range linted.Messages {
			if m.Severity > 1 { // an icon is recommended
				t.Errorf("%s: %v", values, m)
			}
		}
	}
}

func TestFlagsOfTheChart(t *testing.T) {
	daemon := printed(render(t, `{image: {repository: example.org/kube-router, tag: v1}, crds: false,
  config: {peer-router-asns: [4200000000, 64513], cluster-asn: 4200000001, node-routes: api, ipvs-sync-period: 5m0s}}`)["DaemonSet /kube-router"])
	for _, want := range []string{"--peer-router-asns=4200000000,64513", "--cluster-asn=4200000001", "--node-routes=api", "image: example.org/kube-router:v1"} {
		if !strings.Contains(daemon, want) {
			t.Errorf("no %s in\n%s", want, daemon)
		}
	}
	if _, err := rendered(t, `{kubeconfig: elsewhere}`); err == nil || !strings.Contains(err.Error(), `not "elsewhere"`) {
		t.Errorf("an unknown place of the kubeconfig: %v", err)
	}
}

// rendered is what Helm makes of the chart, file by file.
func rendered(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(chart, parsed(t, values), common.ReleaseOptions{Name: "kube-router", Namespace: "kube-system"}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Render(chart, all)
}

func render(t *testing.T, values string) map[string]object {
	t.Helper()
	files, err := rendered(t, values)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]object{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			for id, o := range objects(t, text) {
				out[id] = o
			}
		}
	}
	return out
}

// objects are those of a YAML file by kind, namespace and name: the namespace is left out, which the overlays have fixed.
// Lists that are sets are sorted, and the chart's own mark is taken off.
func objects(t *testing.T, text string) map[string]object {
	t.Helper()
	out := map[string]object{}
	for part := range strings.SplitSeq("\n"+text, "\n---\n") {
		o := object{}
		if err := yaml.Unmarshal([]byte(part), &o); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if len(o) > 0 {
			sortSets(o)
			out[fmt.Sprint(o["kind"], " /", o["metadata"].(object)["name"])] = o
		}
	}
	return out
}

// sortSets sorts the lists whose order means nothing: arguments, mounts, volumes, variables, capabilities.

func sortSets(v any) {
	switch v := v.(type) {
	case object:
		for name, inner := range v {
			if list, ok := inner.([]any); ok && slices.Contains([]string{"args", "volumeMounts", "volumes", "env", "add"}, name) {
				slices.SortFunc(list, func(a, b any) int { return bytes.Compare([]byte(printed(a)), []byte(printed(b))) })
			}
			sortSets(inner)
		}
	case []any:
		for _, inner := range v {
			sortSets(inner)
		}
	}
}

func parsed(t *testing.T, values string) object {
	t.Helper()
	out := object{}
	if err := yaml.Unmarshal([]byte(values), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func printed(v any) string {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
