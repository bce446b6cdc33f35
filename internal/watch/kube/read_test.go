package kube

import (
	"strings"
	"testing"

	"kube-router/internal/model"
)

const manifest = `# two policies
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec: {podSelector: {}}
---
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: b, annotations: {kube-router.io/enforcement: audit}}
spec: {tier: Baseline, priority: 7, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
`

func TestReadPolicies(t *testing.T) {
	list, err := ReadPolicies([]byte(manifest))
	if err != nil || len(list) != 2 || list[0].Ref().Name != (model.Name{Namespace: "default", Name: "a"}) {
		t.Fatalf("%v %v", list, err)
	}
	if p := list[1].(*model.ClusterPolicy); p.Tier != model.BaselineTier || !p.Audit || len(p.Ingress) != 1 || len(p.Remarks) > 0 {
		t.Errorf("%+v", p)
	}
	for text, want := range map[string]string{
		"kind: Pod\napiVersion: v1\nmetadata: {name: p}":                             "no kind of policy",
		"kind: NetworkPolicy\napiVersion: projectcalico.org/v3\nmetadata: {name: p}": "no kind of policy",
		"kind: NetworkPolicy\napiVersion: networking.k8s.io/v1":                      "without a name",
		manifest + "---\n{": "document 3",
		"kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: p}\nspec: 7": "document 1",
	} {
		if list, err := ReadPolicies([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
}

func FuzzReadPolicies(f *testing.F) {
	f.Add([]byte(manifest))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ReadPolicies(b)
		for _, o := range list {
			if err != nil || o == nil || o.Ref().Name.Name == "" {
				t.Errorf("%v, %v", o, err)
			}
		}
	})
}
