//go:build policy

package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// object is as much of an object as tests of statuses look at.
type object struct {
	Metadata struct{ Name, ResourceVersion string }
	Status   struct {
		Nodes, Silent int
		NotInForce    []string
		Conditions    []metav1.Condition
	}
}

// objects are those of a kind, by name.
func (w *the) objects(t *testing.T, path string) map[string]object {
	t.Helper()
	var list struct{ Items []object }
	raw, err := w.get(w.ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	all := map[string]object{}
	for _, o := range list.Items {
		all[o.Metadata.Name] = o
	}
	return all
}

// get reads a path of the API server.
func (w *the) get(ctx context.Context, path string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Client.Host()+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

const (
	clusterPolicies = "/apis/policy.networking.k8s.io/v1beta1/clusternetworkpolicies"
	policyStatuses  = "/apis/kube-router.io/v1alpha1/policystatuses"
)

// condition is a condition of ours: its status, reason and message.
func condition(o object, typ string) string {
	for _, c := range o.Status.Conditions {
		if c.Type == "kube-router.io/"+typ {
			return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

// ownKinds installs the kinds of our own group.
func (w *the) ownKinds(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		crd, err := os.ReadFile("../../deploy/kustomize/crds/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Apply(w.ctx, string(crd)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConditions: the API is told once of each policy, of nodes on which one isn't in force, and of nothing as long as nothing changes.
func TestConditions(t *testing.T) {
	w := shared
	w.ownKinds(t, "policystatuses")
	w.define(t)
	w.one(t, "conditions", func(t *testing.T) {
		w.cluster(t, `metadata: {name: good}`+"\n"+`spec: {tier: Admin, priority: 900, subject: {namespaces: {matchLabels: {ns: none}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`,
			`metadata: {name: named}`+"\n"+`spec: {tier: Admin, priority: 901, subject: {namespaces: {matchLabels: {ns: none}}}, egress: [{action: Deny, to: [{domainNames: [a.example]}]}]}`)
		has := func(name, typ, text string) {
			t.Helper()
			w.eventually(t, name+": "+text, func() bool { return strings.HasPrefix(condition(w.objects(t, clusterPolicies)[name], typ), text) })
		}
		has("good", "Accepted", "True Accepted")
		has("good", "InForce", "True InForce")
		has("named", "Accepted", "False NotUnderstood spec.egress[0].to[0].domainNames")
		w.eventually(t, "the report", func() bool { o := w.objects(t, policyStatuses)["cluster"]; return o.Status.Nodes == 2 })
		lacks := func(node string, value any) {
			t.Helper()
			patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kube-router.io/policies-not-in-force": value}}}
			if err := w.Client.Merge(w.ctx, &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: node}}, "", patch); err != nil {
				t.Fatal(err)
			}
		}
		lacks("n2", "ClusterNetworkPolicy good,NetworkPolicy x/p")
		has("good", "InForce", "False RowsFail in force on 1 of 2 nodes, not on n2")
		has("named", "InForce", "True")
		want := []string{"ClusterNetworkPolicy good: in force on 1 of 2 nodes, not on n2", "NetworkPolicy x/p: in force on 1 of 2 nodes, not on n2"}
		w.eventually(t, "the report of a failure", func() bool { return slices.Equal(w.objects(t, policyStatuses)["cluster"].Status.NotInForce, want) })
		lacks("n2", "all")
		has("named", "InForce", "False RowsFail in force on 1 of 2 nodes, not on n2")
		lacks("n2", nil)
		has("good", "InForce", "True")
		has("named", "InForce", "True")
		versions := func() map[string]string {
			all := map[string]string{}
			for _, path := range []string{clusterPolicies, policyStatuses, "/api/v1/nodes", "/apis/events.k8s.io/v1/events"} {
				for name, o := range w.objects(t, path) {
					all[path+" "+name] = o.Metadata.ResourceVersion
				}
			}
			return all
		}
		before := versions()
		time.Sleep(3 * time.Second)
		if after := versions(); !maps.Equal(before, after) {
			t.Errorf("something is written while nothing changes:\n%v\n%v", before, after)
		}
	})
}

// eventually is until with the patience that requests between processes need on a busy machine.
func (w *the) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
