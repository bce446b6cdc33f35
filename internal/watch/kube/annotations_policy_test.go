package kube

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// TestEnforcement: what isn't understood is enforced, and said.
func TestEnforcement(t *testing.T) {
	for _, c := range []struct {
		value   string
		audit   bool
		remarks int
	}{{"audit", true, 0}, {"enforce", false, 0}, {"Audit", false, 1}, {"", false, 1}, {"audit ", false, 1}} {
		meta := metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"kube-router.io/enforcement": c.value, "example.com/enforcement": "audit"}}
		p := ConvertPolicy(&networkingv1.NetworkPolicy{ObjectMeta: meta})
		o := &clusterapi.ClusterNetworkPolicy{ObjectMeta: meta}
		o.Spec.Tier, o.Spec.Subject.Namespaces = "Admin", &metav1.LabelSelector{}
		cp := ConvertClusterPolicy(o)
		for _, got := range []struct {
			audit   bool
			remarks []model.Remark
		}{{p.Audit, p.Remarks}, {cp.Audit, cp.Remarks}} {
			if got.audit != c.audit || len(got.remarks) != c.remarks || c.remarks > 0 && got.remarks[0].Field != "kube-router.io/enforcement" {
				t.Errorf("%q: audited %t, remarks %v", c.value, got.audit, got.remarks)
			}
		}
	}
}
