package kubestatus

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/apiserver"
	"kube-router/internal/row"
)

// writes counts requests that write.
type writes struct {
	n    atomic.Int64
	next http.RoundTripper
}

func (w *writes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		w.n.Add(1)
	}
	return w.next.RoundTrip(r)
}

// TestPolicies writes conditions beside those of others, once; a second time, and by another node, nothing is written.
func TestPolicies(t *testing.T) {
	s, err := apiserver.New(apiserver.Options{})
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	t.Cleanup(func() { cancel(); check(t, <-done) })
	count := &writes{next: http.DefaultTransport}
	config := &rest.Config{Host: "http://" + l.Addr().String(), Transport: count, QPS: -1}
	table, err := NewPolicies(config)
	check(t, err)
	say := func(rows ...row.KubePolicy) {
		t.Helper()
		another, err := NewPolicies(config) // knows nothing of what was written before
		check(t, err)
		var changes []row.Change[row.KubeObject, row.KubePolicy]
		for i := range rows {
			changes = append(changes, row.Change[row.KubeObject, row.KubePolicy]{Key: rows[i].Key(), New: &rows[i]})
		}
		check(t, another.Apply(ctx, changes))
	}
	verdict := func(name string, why string) row.KubePolicy {
		return row.KubePolicyVerdict{
			Object: row.KubeObject{Kind: clusterapi.Kind, Name: name}, Generation: 1,
			Accepted: row.KubeReason{Is: true, Reason: "Accepted"}, InForce: row.KubeReason{Is: why == "", Reason: "R", Why: why},
		}
	}
	report := row.KubePolicyReport{Object: row.KubePolicyStatus(), Nodes: 3, Silent: 1, Lacking: "a\nb"}
	say(verdict("a", ""), report) // neither kind is there
	for _, path := range []string{"crds/policystatuses.yaml", "policy-crd/clusternetworkpolicies.yaml"} {
		text, err := os.ReadFile("../../../deploy/kustomize/" + path)
		check(t, err)
		check(t, table.own.Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").SetHeader("Content-Type", "application/yaml").Body(text).Do(ctx).Error())
	}
	client := table.cluster[0]
	for _, name := range []string{"a", "b"} {
		check(t, client.Post().Resource(clusterapi.Resource).SetHeader("Content-Type", "application/json").Body([]byte(`{"apiVersion": "policy.networking.k8s.io/v1beta1", "kind": "ClusterNetworkPolicy", "metadata": {"name": "`+name+`"},
"spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}}`)).Do(ctx).Error())
	}
	other := `{"status": {"conditions": [{"type": "example.org/Seen", "status": "True", "reason": "Seen", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`
	check(t, client.Patch("application/merge-patch+json").Resource(clusterapi.Resource).Name("a").SubResource("status").Body([]byte(other)).Do(ctx).Error())
	read := func(name string) (all []metav1.Condition) {
		t.Helper()
		_, list, err := table.list(ctx, map[string]row.KubePolicyVerdict{name: {}})
		check(t, err)
		if len(list) != 1 {
			t.Fatalf("%d objects are named %s", len(list), name)
		}
		var s clusterapi.Status
		if len(list[0].Status) > 0 {
			check(t, jsonInto(list[0].Status, &s))
		}
		return s.Conditions
	}
	before := count.n.Load()
	say(verdict("a", ""), verdict("b", "in force on 1 of 2 nodes"), verdict("gone", ""), report)
	if n := count.n.Load() - before; n != 5 { // two policies; the report: not there, made, written
		t.Errorf("%d writes, want 5", n)
	}
	if c := read("a"); len(c) != 3 || c[0].Type != "example.org/Seen" || c[1].Type != api.PolicyAccepted || c[2].Status != metav1.ConditionTrue {
		t.Errorf("a: %v", c)
	}
	if c := read("b"); len(c) != 2 || c[1].Status != metav1.ConditionFalse || c[1].Message != "in force on 1 of 2 nodes" || c[1].ObservedGeneration != 1 {
		t.Errorf("b: %v", c)
	}
	before = count.n.Load()
	say(verdict("a", ""))
	say(verdict("a", ""), verdict("b", "in force on 1 of 2 nodes"))
	if n := count.n.Load() - before; n != 0 {
		t.Errorf("%d writes of what is there already", n)
	}
	report.Lacking = ""
	say(verdict("b", ""), report)
	if c := read("b"); c[1].Status != metav1.ConditionTrue {
		t.Errorf("b: %v", c)
	}
	raw, err := table.own.Get().Resource(api.PolicyStatuses.Resource).Name(api.PolicyStatusName).Do(ctx).Raw()
	check(t, err)
	var o api.PolicyStatus
	check(t, jsonInto(raw, &o))
	if o.Status.Nodes != 3 || o.Status.Silent != 1 || len(o.Status.NotInForce) != 0 || strings.Contains(string(raw), `"a"`) {
		t.Errorf("report: %s", raw)
	}
}

func jsonInto(raw []byte, to any) error { return json.Unmarshal(raw, to) }
