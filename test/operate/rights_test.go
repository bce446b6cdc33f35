//go:build !guest

package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// record is a proxy before the API server that notes what is asked for, as RBAC names it.
type record struct {
	mu   sync.Mutex
	used map[string]bool
	next http.Handler
}

// ServeHTTP notes the request and passes it on.
func (r *record) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	r.used[rightOf(q)] = true
	r.mu.Unlock()
	r.next.ServeHTTP(w, q)
}

func (r *record) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for k := range r.used {
		all = append(all, k)
		// A watch begins with all objects (KEP-3157); API servers before 1.32 have them listed in its place.
		if rest, ok := strings.CutPrefix(k, "watch "); ok {
			all = append(all, "list "+rest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rightOf is the right that a request needs: "watch /pods", "update coordination.k8s.io/leases kube-router-lballoc".
func rightOf(q *http.Request) string {
	parts := strings.Split(strings.Trim(q.URL.Path, "/"), "/")
	group := ""
	if parts[0] == "apis" && len(parts) > 3 {
		group, parts = parts[1], parts[3:]
	} else if len(parts) > 2 {
		parts = parts[2:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	name, resource := "", parts[0]
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[q.Method]
	switch {
	case verb != "":
	case q.URL.Query().Get("watch") != "":
		verb = "watch"
	case name == "":
		verb = "list"
	default:
		verb = "get"
	}
	if resource != "leases" || verb == "create" {
		name = "" // only the lease is named in the rules, and one Secret
	}
	if only, ok := strings.CutPrefix(q.URL.Query().Get("fieldSelector"), "metadata.name="); ok && resource == "secrets" {
		name = only
	}
	return strings.TrimSpace(verb + " " + group + "/" + resource + " " + name)
}

// given are the rights of a rendered manifest, spelled out alike.
func given(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		var role rbacv1.ClusterRole
		if yaml.Unmarshal([]byte(doc), &role) != nil || !strings.HasSuffix(role.Kind, "Role") {
			continue
		}
		for _, r := range role.Rules {
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					for _, verb := range r.Verbs {
						all = append(all, strings.TrimSpace(verb+" "+group+"/"+resource+" "+strings.Join(r.ResourceNames, ",")))
					}
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all) // two parts may need the same
}

// TestRights: a daemon with every part asks the API server for what the manifest lets it, and the manifest lets it
// nothing that it never asks for.
func TestRights(t *testing.T) {
	n := newNode(t, "--run-firewall=true", "--overlay-encap", "vxlan", "--run-loadbalancer", "--loadbalancer-ip-range", "203.0.113.0/24")
	kubeconfig, err := os.ReadFile(n.path("kubeconfig"))
	n.check(err)
	server := strings.TrimSpace(strings.SplitN(strings.SplitN(string(kubeconfig), "server: ", 2)[1], "\n", 2)[0])
	to, err := url.Parse(server)
	n.check(err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = n.space.Do(func() (err error) { c, err = (&net.Dialer{}).DialContext(ctx, network, addr); return err })
		return c, err
	}}
	r := &record{used: map[string]bool{}, next: proxy}
	var l net.Listener
	n.check(n.space.Do(func() error { l, err = net.Listen("tcp", "127.0.0.1:0"); return err }))
	srv := &http.Server{Handler: r}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	n.check(os.WriteFile(n.path("kubeconfig"), []byte(strings.ReplaceAll(string(kubeconfig), server, "http://"+l.Addr().String())), 0o600))
	for _, path := range []string{"crds/addresspools.yaml", "crds/l2advertisements.yaml", "crds/bgppeers.yaml", "crds/bgpadvertisements.yaml", "crds/policystatuses.yaml", "crds/nodepolicies.yaml", "policy-crd/clusternetworkpolicies.yaml"} {
		crd, err := os.ReadFile("../../deploy/kustomize/" + path)
		n.check(err)
		n.apply(string(crd))
	}
	for i := range 16 { // of three nodes one writes the status of each, so this one of some
		n.apply(fmt.Sprintf("{apiVersion: kube-router.io/v1alpha1, kind: BGPPeer, metadata: {name: tor%d}, spec: {address: 198.51.100.%d, asn: 64513}}", i, 100+i))
		n.apply(fmt.Sprintf("{apiVersion: kube-router.io/v1alpha1, kind: BGPAdvertisement, metadata: {name: public%d}, spec: {addresses: [LoadBalancer]}}", i))
	}
	n.apply("{apiVersion: policy.networking.k8s.io/v1beta1, kind: ClusterNetworkPolicy, metadata: {name: told}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, " +
		"ingress: [{action: Accept, from: [{namespaces: {}}]}]}}")
	n.apply("{apiVersion: kube-router.io/v1alpha1, kind: AddressPool, metadata: {name: pool}, spec: {addresses: [198.51.100.0/28]}}")
	n.apply(strings.Replace(web, "{name: web, namespace: default}", "{name: web, namespace: default, annotations: {kube-router.io/service.local: maybe}}", 1))
	n.start()
	want := given(t, "../../deploy/rendered/generic-kuberouter-loadbalancer.yaml")
	// The election renews its lease after some seconds.
	deadline := func() error {
		if d := cmp.Diff(want, r.list()); d != "" {
			return errors.New("rights (-given by the manifest +asked for):\n" + d)
		}
		return nil
	}
	n.eventually("as the manifest says", deadline)
}
