// Package policyapi runs the conformance suite of ClusterNetworkPolicy (module sigs.k8s.io/network-policy-api) against
// the cluster of test/conformance. It is a module of its own, so that kube-router needs nothing of what the suite needs.
//
// The suite's own entry can't be used everywhere: its pods serve SCTP too, are never ready on a kernel without it, and
// then no test runs. Here such a kernel gets the same pods without what serves SCTP, and the tests that probe it are
// left out by name and reported as skipped. Where the kernel has SCTP, everything runs.
package policyapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	printed "sigs.k8s.io/yaml"

	api "sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/network-policy-api/conformance"
	report "sigs.k8s.io/network-policy-api/conformance/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/conformance/tests"
	timeouts "sigs.k8s.io/network-policy-api/conformance/utils/config"
	probe "sigs.k8s.io/network-policy-api/conformance/utils/kubernetes"
	"sigs.k8s.io/network-policy-api/conformance/utils/suite"
)

// probesSCTP are the tests that send SCTP, by their short names.
var probesSCTP = []string{
	"CNPAdminTierEgressNodePeers",
	"CNPAdminTierEgressInlineCIDRPeers",
	"CNPAdminTierEgressSCTP",
	"CNPAdminTierGress",
	"CNPAdminTierIngressSCTP",
	"CNPAdminTierPortRange",
	"CNPBaselineTierEgressNodePeers",
	"CNPBaselineTierEgressInlineCIDRPeers",
	"CNPBaselineTierEgressSCTP",
	"CNPBaselineTierGress",
	"CNPBaselineTierIngressSCTP",
	"CNPBaselineTierPortRange",
}

// firstHostPort begins the eight ports of the suite's pods on the host network.
const firstHostPort = 34345

// TestClusterNetworkPolicy runs the profile with its standard and experimental features, and writes the report to $REPORT.
func TestClusterNetworkPolicy(t *testing.T) {
	cfg, err := config.GetConfig()
	must(t, err)
	c, err := client.New(cfg, client.Options{})
	must(t, err)
	must(t, api.Install(c.Scheme()))
	must(t, apiextensionsv1.AddToScheme(c.Scheme()))
	clients, err := kubernetes.NewForConfig(cfg)
	must(t, err)

	options := suite.Options{
		Client: c, ClientSet: clients, KubeConfig: *cfg,
		CleanupBaseResources: true, EnableAllSupportedFeatures: true,
		// Only a timeout counts as denied: a second is long where answers take less than a millisecond.
		TimeoutConfig: timeouts.TimeoutConfig{RequestTimeout: time.Second, PokeTimeout: time.Minute, NamespacesMustBeReady: 15 * time.Minute},
	}
	sctp := kernelHasSCTP()
	if !sctp {
		options.SkipTests = probesSCTP
	}
	run, err := suite.NewConformanceProfileTestSuite(suite.ConformanceProfileOptions{
		Options:             options,
		ConformanceProfiles: sets.New(suite.CNPConformanceProfileName),
		Implementation: report.Implementation{
			Organization: "kube-router", Project: "kube-router", URL: "https://www.kube-router.io",
			Version: os.Getenv("VERSION"), Contact: []string{"@kube-router"}, AdditionalInformation: "test/conformance/run --policy-api",
		},
	})
	must(t, err)
	if sctp {
		run.Setup(t)
	} else {
		setUpWithoutSCTP(t, run)
	}
	must(t, run.Run(t, chosen(t)))

	written, err := run.Report()
	must(t, err)
	text, err := printed.Marshal(written)
	must(t, err)
	if path := os.Getenv("REPORT"); path != "" {
		must(t, os.WriteFile(path, text, 0o644))
	}
}

// chosen are the suite's tests, or those whose short names contain one of the words in $ONLY. A name of probesSCTP that
// the suite doesn't have is an error: a test that was renamed would fail there, far from its reason.
func chosen(t *testing.T) []suite.ConformanceTest {
	for _, name := range probesSCTP {
		if !slices.ContainsFunc(tests.ConformanceTests, func(c suite.ConformanceTest) bool { return c.ShortName == name }) {
			t.Errorf("the suite has no test %s", name)
		}
	}
	words := strings.Fields(os.Getenv("ONLY"))
	if len(words) == 0 {
		return tests.ConformanceTests
	}
	return slices.DeleteFunc(slices.Clone(tests.ConformanceTests), func(c suite.ConformanceTest) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(c.ShortName, word) })
	})
}

// setUpWithoutSCTP does what the suite's Setup does, with pods that serve TCP and UDP alone.
func setUpWithoutSCTP(t *testing.T, run *suite.ConformanceProfileTestSuite) {
	run.Applier.FS = run.FS
	for port := firstHostPort; port < firstHostPort+8; port++ {
		run.HostNetworkPorts = append(run.HostNetworkPorts, port)
	}
	run.Applier.HostNetworkPorts = run.HostNetworkPorts

	var namespaces, sets []string
	for _, object := range baseObjects(t, run.HostNetworkPorts) {
		if object.GetKind() == "StatefulSet" {
			namespaces, sets = append(namespaces, object.GetNamespace()), append(sets, object.GetName())
			object = withoutPorters(t, object)
		}
		err := run.Client.Create(context.Background(), object)
		if !apierrors.IsAlreadyExists(err) {
			must(t, err)
		}
		t.Cleanup(func() { _ = run.Client.Delete(context.Background(), object) })
	}
	probe.NamespacesMustBeReady(t, run.Client, run.TimeoutConfig, namespaces, sets)
}

// baseObjects are the suite's namespaces and pods, read from the suite itself.
func baseObjects(t *testing.T, ports []int) []*unstructured.Unstructured {
	text, err := conformance.Manifests.ReadFile("base/manifests.yaml")
	must(t, err)
	var filled bytes.Buffer
	must(t, template.Must(template.New("base").Parse(string(text))).Execute(&filled, struct{ HostNetworkPorts []int }{ports}))

	var out []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(&filled, 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return out
		} else if must(t, err); len(object.Object) > 0 {
			out = append(out, object)
		}
	}
}

// withoutPorters leaves out the containers that serve SCTP.
func withoutPorters(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	var typed appsv1.StatefulSet
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed))
	pod := &typed.Spec.Template.Spec
	pod.Containers = slices.DeleteFunc(pod.Containers, func(c corev1.Container) bool {
		return strings.Contains(strings.Join(c.Command, " "), "agnhost porter")
	})
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed)
	must(t, err)
	out := &unstructured.Unstructured{Object: fields}
	out.SetGroupVersionKind(object.GroupVersionKind())
	return out
}

// kernelHasSCTP: whether a socket can be made here, where the nodes' kernel is ours.
func kernelHasSCTP() bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err != nil {
		return false
	}
	_ = syscall.Close(fd)
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
