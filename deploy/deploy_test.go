// Package deploy holds what it takes to run kube-router on a cluster: manifests as kustomize folders and
// rendered, the image, and a dashboard. Its tests check them against the real API types, against the flags
// that the program knows, and against the objects that it watches.
package deploy

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"kube-router/internal/config"
	"kube-router/internal/model"
	"kube-router/internal/watch/kube"
)

var update = flag.Bool("update", false, "write the rendered manifests anew")

func TestRenderedManifests(t *testing.T) {
	if *update {
		if err := os.MkdirAll("rendered", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("rendered/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range overlays(t) {
		path := filepath.Join("rendered", filepath.Base(dir)+".yaml")
		want := print(t, dir, render(t, dir, nil))
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		files = slices.DeleteFunc(files, func(f string) bool { return f == path })
		if have := read(t, path); !bytes.Equal(want, have) {
			t.Errorf("%s is not what its overlay says (go test ./deploy -update):\n%s", path, cmp.Diff(string(want), string(have)))
		}
	}
	if !*update && len(files) > 0 {
		t.Errorf("rendered from no overlay: %q", files)
	}
}

// TestReferenceManifests: users of kube-router v2 find the manifest that they know by its name.
func TestReferenceManifests(t *testing.T) {
	for _, name := range []string{
		"generic-kuberouter", "generic-kuberouter-all-features", "generic-kuberouter-all-features-advertise-routes",
		"generic-kuberouter-only-advertise-routes", "kube-router-all-service-daemonset",
		"kube-router-all-service-daemonset-advertise-routes", "kube-router-firewall-daemonset", "kube-router-proxy-daemonset",
		"kubeadm-kuberouter", "kubeadm-kuberouter-all-features", "kubeadm-kuberouter-all-features-dsr", "kubeadm-kuberouter-all-features-hostport",
	} {
		if _, err := os.Stat(filepath.Join("kustomize/overlays", name)); err != nil {
			t.Error(err)
		}
	}
}

// manifest is one rendered overlay, decoded.
type manifest struct {
	daemon *appsv1.DaemonSet
	rules  []rbacv1.PolicyRule
	bound  map[string]bool // roles by kind and name, with whether a binding gives them to the account
}

// known notes a role; whether it is bound is told by a binding, which may come before it.
func (m *manifest) known(role string) {
	if _, ok := m.bound[role]; !ok {
		m.bound[role] = false
	}
}

func decode(t *testing.T, dir string) manifest {
	t.Helper()
	m := manifest{bound: map[string]bool{}}
	for _, o := range render(t, dir, nil) {
		m.add(t, o)
	}
	if m.daemon == nil {
		t.Fatalf("%s: no DaemonSet", dir)
	}
	return m
}

func (m *manifest) add(t *testing.T, o object) {
	t.Helper()
	switch o["kind"] {
	case "DaemonSet":
		m.daemon = &appsv1.DaemonSet{}
		typed(t, o, m.daemon)
	case "ServiceAccount":
		typed(t, o, &corev1.ServiceAccount{})
	case "CustomResourceDefinition":
		checkDefinition(t, o)
	case "ConfigMap":
		typed(t, o, &corev1.ConfigMap{})
	case "ClusterRole":
		var r rbacv1.ClusterRole
		typed(t, o, &r)
		m.rules = append(m.rules, r.Rules...)
		m.known("ClusterRole " + r.Name)
	case "Role":
		var r rbacv1.Role
		typed(t, o, &r)
		m.rules = append(m.rules, r.Rules...)
		m.known("Role " + r.Name)
	case "ClusterRoleBinding":
		var b rbacv1.ClusterRoleBinding
		typed(t, o, &b)
		m.bind(b.RoleRef, b.Subjects)
	case "RoleBinding":
		var b rbacv1.RoleBinding
		typed(t, o, &b)
		m.bind(b.RoleRef, b.Subjects)
	case "ValidatingAdmissionPolicy":
		typed(t, o, &admissionv1.ValidatingAdmissionPolicy{})
	case "ValidatingAdmissionPolicyBinding":
		typed(t, o, &admissionv1.ValidatingAdmissionPolicyBinding{})
	default:
		t.Errorf("%s: a kind that the test doesn't know", identity(o))
	}
}

func (m *manifest) bind(r rbacv1.RoleRef, to []rbacv1.Subject) {
	ours := rbacv1.Subject{Kind: "ServiceAccount", Name: "kube-router", Namespace: "kube-system"}
	m.bound[r.Kind+" "+r.Name] = len(to) == 1 && to[0] == ours
}

// options reads a manifest's arguments and environment as the program would.
func (m *manifest) options(t *testing.T) *config.Options {
	t.Helper()
	c := m.daemon.Spec.Template.Spec.Containers[0]
	set := pflag.NewFlagSet("kube-router", pflag.ContinueOnError)
	raw := config.Flags(set)
	if err := set.Parse(c.Args); err != nil || set.NArg() > 0 {
		t.Fatalf("%q: %v", c.Args, err)
	}
	env := map[string]string{"NODE_NAME": "n1", "POD_NAME": "p", "POD_NAMESPACE": "kube-system"}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			env[e.Name] = e.Value
		} else if env[e.Name] == "" {
			t.Errorf("environment variable %s isn't one that the program reads", e.Name)
		}
	}
	o, err := raw.Options(func(k string) string { return env[k] }, os.ReadFile)
	if err != nil {
		t.Fatalf("%q: %v", c.Args, err)
	}
	if len(o.Remarks) > 0 {
		t.Errorf("%q: %q", c.Args, o.Remarks)
	}
	return o
}

func TestManifests(t *testing.T) {
	for _, dir := range overlays(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := decode(t, dir)
			o := m.options(t)
			m.checkRights(t, o)
			m.checkPod(t, o)
			for role, bound := range m.bound {
				if !bound {
					t.Errorf("%s is bound to nobody, or to others", role)
				}
			}
		})
	}
}

// checkRights compares the rights with what the settings need: each kind that is watched may be listed and
// watched, and nothing else may be read; what is written is written by a part that is enabled.
func (m *manifest) checkRights(t *testing.T, o *config.Options) {
	t.Helper()
	resource := map[model.Kind]string{
		model.KindNode: "/nodes", model.KindService: "/services", model.KindSlice: "discovery.k8s.io/endpointslices",
		model.KindNamespace: "/namespaces", model.KindPod: "/pods", model.KindPolicy: "networking.k8s.io/networkpolicies",
		model.KindPool: "kube-router.io/addresspools", model.KindClusterPolicy: "policy.networking.k8s.io/clusternetworkpolicies",
		model.KindL2: "kube-router.io/l2advertisements", model.KindBGPPeer: "kube-router.io/bgppeers", model.KindBGPAd: "kube-router.io/bgpadvertisements", model.KindNodePolicy: "kube-router.io/nodepolicies", model.KindKeyring: "/secrets kube-router-bgp",
	}
	want := []string{"create events.k8s.io/events"}
	for _, k := range kube.Kinds(o.Settings) {
		want = append(want, "list "+resource[k], "watch "+resource[k])
	}
	if o.Settings.Router {
		want = append(want, "patch kube-router.io/bgppeers/status", "patch kube-router.io/bgpadvertisements/status")
	}
	if o.Settings.Firewall {
		want = append(want, "patch policy.networking.k8s.io/clusternetworkpolicies/status", "create kube-router.io/policystatuses", "patch kube-router.io/policystatuses/status")
	}
	if o.Settings.Firewall || o.Settings.Router && o.Settings.CNI.Enabled {
		want = append(want, "get /nodes", "patch /nodes/status")
	}
	if o.Settings.Balancer {
		want = append(want, "get /services", "update /services/status", "patch kube-router.io/addresspools/status",
			"create coordination.k8s.io/leases", "get coordination.k8s.io/leases kube-router-lballoc", "update coordination.k8s.io/leases kube-router-lballoc")
	}
	have := m.rights()
	slices.Sort(want)
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("rights (-needed +given):\n%s", d)
	}
}

// rights spells every rule out: verb, group/resource, name. Two parts may need the same.
func (m *manifest) rights() []string {
	var all []string
	for _, r := range m.rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					all = append(all, strings.TrimSpace(verb+" "+group+"/"+resource+" "+strings.Join(r.ResourceNames, ",")))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
