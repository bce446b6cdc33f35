package deploy

import (
	"encoding/json"
	"slices"
	"testing"

	"kube-router/internal/api/clusterapi"
)

// TestClusterPolicyDefinition: the definition is of the kind that the daemon reads, in its versions, and the newest one is stored.
func TestClusterPolicyDefinition(t *testing.T) {
	all := render(t, "kustomize/policy-crd", nil)
	if len(all) != 1 {
		t.Fatalf("%d objects", len(all))
	}
	var d struct {
		Metadata struct {
			Name        string
			Annotations map[string]string
		}
		Spec struct {
			Group, Scope string
			Names        struct{ Kind, Plural string }
			Versions     []struct {
				Name            string
				Served, Storage bool
				Subresources    map[string]any
				Schema          struct{ OpenAPIV3Schema schema }
			}
		}
	}
	raw, err := json.Marshal(all[0])
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.Spec.Group != clusterapi.Group || d.Spec.Names.Plural != clusterapi.Resource || d.Spec.Names.Kind != clusterapi.Kind || d.Spec.Scope != "Cluster" ||
		d.Metadata.Annotations["policy.networking.k8s.io/channel"] != "experimental" {
		t.Errorf("it defines another kind: %+v", d.Metadata)
	}
	var served []string
	for _, v := range d.Spec.Versions {
		served = append(served, v.Name)
		if _, status := v.Subresources["status"]; !v.Served || !status || v.Storage != (v.Name == clusterapi.Versions()[0].Version) {
			t.Errorf("%s: served %t, status %t, stored %t", v.Name, v.Served, status, v.Storage)
		}
		spec := v.Schema.OpenAPIV3Schema.Properties["spec"]
		for side, peers := range map[string]string{"ingress": "from", "egress": "to"} {
			rule := spec.Properties[side].Items
			if rule == nil || rule.Properties[peers].Items == nil {
				t.Errorf("%s: no peers in %s", v.Name, side)
			}
		}
		for _, peer := range []string{"namespaces", "pods", "nodes", "networks", "domainNames"} {
			if _, ok := spec.Properties["egress"].Items.Properties["to"].Items.Properties[peer]; !ok {
				t.Errorf("%s: peers of egress have no %s", v.Name, peer)
			}
		}
	}
	for _, v := range clusterapi.Versions() {
		if !slices.Contains(served, v.Version) {
			t.Errorf("%s is not served", v)
		}
	}
}
