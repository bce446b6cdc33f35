package kube

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/lab/apiserver"
	"kube-router/internal/model"
)

func clusterPolicy(t *testing.T, text string) *model.ClusterPolicy {
	t.Helper()
	o, ok := convertClusterPolicy(decode[api.Raw](t, text))
	if !ok {
		t.Fatal("not converted")
	}
	return o.(*model.ClusterPolicy)
}

func TestConvertClusterPolicy(t *testing.T) {
	p := clusterPolicy(t, `
metadata: {name: p, uid: u}
spec:
	tier: Baseline
	priority: 7
	subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: "1"}}}}
	ingress:
	- name: first
	  action: Accept
	  from: [{namespaces: {}}, {pods: {namespaceSelector: {}, podSelector: {}}}]
	  protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 5, end: 7}}}}, {sctp: {}}, {destinationNamedPort: web}]
	egress:
	- {action: Deny, to: [{nodes: {}}, {networks: [10.1.2.3/8, "fd00::/8"]}]}
	- {action: Pass, to: [{namespaces: {}}]}
`)
	a := model.Selector{Requirements: []model.Requirement{{Key: "a", Op: model.In, Values: []string{"1"}}}}
	same(t, &model.ClusterPolicy{
		Name: "p", UID: "u", Tier: model.BaselineTier, Priority: 7, Subject: model.PodSelection{Pods: &a},
		Ingress: []model.ClusterRule{{
			Name: "first", Peers: []model.ClusterPeer{{Pods: &model.PodSelection{}}, {Pods: &model.PodSelection{Pods: &model.Selector{}}}},
			Ports: []model.PolicyPort{{Protocol: model.TCP, Port: 80}, {Protocol: model.UDP, Port: 5, EndPort: 7}, {Protocol: model.SCTP}, {PortName: "web"}},
		}},
		Egress: []model.ClusterRule{
			{Action: model.Deny, AnyPort: true, Peers: []model.ClusterPeer{{Nodes: &model.Selector{}}, {Networks: prefixes("10.0.0.0/8", "fd00::/8")}}},
			{Action: model.Pass, AnyPort: true, Peers: []model.ClusterPeer{{Pods: &model.PodSelection{}}}},
		},
	}, p)
}

// TestBadClusterPolicies: a remark names the field that isn't understood, and what the rule does instead.
func TestBadClusterPolicies(t *testing.T) {
	const nothing, everything = "the rule accepts nothing, since not all of it is understood", "the rule denies everything, since not all of it is understood"
	for _, c := range []struct {
		spec    string
		remarks []string
	}{
		{`{tier: Admin, subject: {}}`, []string{"spec.subject: selects no pod: neither namespaces nor pods alone"}},
		{`{tier: Golden, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}`, []string{
			`spec.tier: tier "Golden" is not known: all rules fail closed, in tier Admin`, "spec.ingress[0]: " + nothing}},
		{`{tier: Admin, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: [example.com, "*.Example.com.", a_b.example.com]}]}]}`, nil},
		{`{tier: Admin, subject: {namespaces: {}}, egress: [{action: Deny, to: [{domainNames: [example.com]}]}, {action: Pass, to: [{domainNames: [example.com]}]}]}`, []string{
			"spec.egress[0].to[0].domainNames: only rules that accept can name domains", "spec.egress[0]: " + everything,
			"spec.egress[1].to[0].domainNames: only rules that accept can name domains", "spec.egress[1]: " + everything}},
		{`{tier: Admin, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: ["a.*.com", com, "*.com", "-a.com"]}]}]}`, []string{
			`spec.egress[0].to[0].domainNames[0]: "a.*.com" is no domain name, nor one with *. before it`, `spec.egress[0].to[0].domainNames[1]: "com" is no domain name, nor one with *. before it`,
			`spec.egress[0].to[0].domainNames[2]: "*.com" is no domain name, nor one with *. before it`,
			`spec.egress[0].to[0].domainNames[3]: "-a.com" is no domain name, nor one with *. before it`, "spec.egress[0]: " + nothing}},
		{`{tier: Admin, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{domainNames: [example.com]}]}]}`, []string{
			"spec.ingress[0].from[0]: only pods can be sources", "spec.ingress[0]: " + nothing}},
		{`{tier: Admin, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.300/8]}]}]}`, []string{
			`spec.egress[0].to[0].networks[0]: "10.0.0.300/8" ignored: not a CIDR`, "spec.egress[0]: " + everything}},
		{`{tier: Admin, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}, pods: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 5}}}}]}]}`, []string{
			"spec.ingress[0].from[0]: 2 of the fields that are known here are set, not one", "spec.ingress[0].protocols[0].tcp.destinationPort.range: 9 to 5 are no ports",
			"spec.ingress[0]: " + everything}},
		{`{tier: Admin, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}], when: noon}]}`, []string{
			`spec.ingress[0]: not understood: unknown field "when"`, "spec.ingress[0]: " + nothing}},
		{`{tier: Admin, subject: 7}`, []string{"spec.subject: selects no pod: neither namespaces nor pods alone",
			"spec: can't be read: json: cannot unmarshal number into Go struct field Spec.subject of type clusterapi.Subject"}},
	} {
		sameRemarks(t, c.remarks, clusterPolicy(t, "{metadata: {name: p}, spec: "+c.spec+"}").Remarks)
	}
}

// TestClusterPoliciesComeAndGo: the kind may be absent, come in the older version alone, be denied to us, and go. A denial of what we could
// read before opens nothing.
func TestClusterPoliciesComeAndGo(t *testing.T) {
	s, err := apiserver.New(apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx, l)
	var denied atomic.Bool
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: l.Addr().String()})
	to.FlushInterval = -1
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if denied.Load() && strings.HasSuffix(r.URL.Path, "/clusternetworkpolicies") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"forbidden"}`)
			return
		}
		to.ServeHTTP(w, r)
	}))
	defer front.CloseClientConnections()
	box, synced, log := &names{all: map[model.Ref]model.Object{}}, make(chan struct{}), &bytes.Buffer{}
	w, err := New(Options{Config: &rest.Config{Host: front.URL}, Kinds: []model.Kind{model.KindClusterPolicy}, Inbox: box,
		Log: slog.New(slog.NewTextHandler(log, nil)), Synced: func() { close(synced) }})
	if err != nil {
		t.Fatal(err)
	}
	w.sources[0].own.every = 40 * time.Millisecond
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	<-synced
	raw, err := os.ReadFile("../../../deploy/kustomize/policy-crd/clusternetworkpolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	newer, older, found := string(raw), string(raw), strings.Contains(string(raw), "name: v1beta1")
	if older = strings.ReplaceAll(older, "name: v1beta1", "name: v2"); !found {
		t.Fatal("no version v1beta1")
	}
	want := func(what string, n int) {
		t.Helper()
		eventually(t, what, func() bool { return box.count() == n }, func() string { return fmt.Sprint(box.count(), w.Status()) })
	}
	for version, definition := range map[string]string{"v1alpha2": older, "v1beta1": newer} {
		for i, text := range []string{definition, "", ""} {
			if i > 0 {
				text = fmt.Sprintf("{apiVersion: policy.networking.k8s.io/%s, kind: ClusterNetworkPolicy, metadata: {name: p%d}, spec: {tier: Admin, priority: %d, subject: {namespaces: {}}}}", version, i, i)
			}
			if err := s.Apply([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		want("two policies by "+version, 2)
		denied.Store(true)
		front.CloseClientConnections()
		time.Sleep(300 * time.Millisecond)
		if box.count() != 2 {
			t.Fatal("a denial opens what policies closed")
		}
		denied.Store(false)
		if err := s.RemoveNamed("apiextensions.k8s.io/v1", "CustomResourceDefinition", "clusternetworkpolicies.policy.networking.k8s.io"); err != nil {
			t.Fatal(err)
		}
		want("none", 0)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
