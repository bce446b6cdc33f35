package kubestatus

import (
	"testing"

	"kube-router/internal/api"
)

// TestOwnKindsHaveTheirVersion: an event about an object of ours names its API group, or kubectl describe doesn't find it.
func TestOwnKindsHaveTheirVersion(t *testing.T) {
	for _, k := range api.Kinds() {
		if got := apiVersion(k.Kind); got != "kube-router.io/v1alpha1" {
			t.Errorf("%s: %s", k.Kind, got)
		}
	}
	for kind, want := range map[string]string{"Service": "v1", "ClusterNetworkPolicy": "policy.networking.k8s.io/v1beta1"} {
		if got := apiVersion(kind); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}
