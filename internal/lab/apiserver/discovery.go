package apiserver

import (
	"net/http"
	"slices"
	"strings"

	discoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func verbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// groups is the kinds by group, in the order of the table; each group has one version.
func (s *Server) groups(core bool) [][]*kind {
	var groups [][]*kind
	for _, k := range s.served() {
		i := slices.IndexFunc(groups, func(g []*kind) bool { return g[0].group == k.group })
		switch {
		case core != (k.group == ""):
		case i < 0:
			groups = append(groups, []*kind{k})
		default:
			groups[i] = append(groups[i], k)
		}
	}
	return groups
}

// serveDiscovery answers /api and /apis: everything at once for a client that knows aggregated discovery (KEP-3352), else the names of
// the groups only.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request, path string) {
	groups := s.groups(path == "api")
	switch {
	case strings.Contains(r.Header.Get("Accept"), "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"):
		list := discoveryv2.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{APIVersion: "apidiscovery.k8s.io/v2", Kind: "APIGroupDiscoveryList"}}
		for _, g := range groups {
			list.Items = append(list.Items, aggregated(g))
		}
		w.Header().Set("Content-Type", aggregatedType)
		writeTyped(w, list)
	case path == "api":
		writeJSON(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIVersions"}, Versions: []string{"v1"},
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: r.Host}}})
	default:
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}}
		for _, g := range groups {
			list.Groups = append(list.Groups, apiGroup(g))
		}
		writeJSON(w, http.StatusOK, list)
	}
}

func apiGroup(g []*kind) metav1.APIGroup {
	only := metav1.GroupVersionForDiscovery{GroupVersion: g[0].apiVersion(), Version: g[0].version}
	return metav1.APIGroup{Name: g[0].group, Versions: []metav1.GroupVersionForDiscovery{only}, PreferredVersion: only}
}

func aggregated(g []*kind) discoveryv2.APIGroupDiscovery {
	ver := discoveryv2.APIVersionDiscovery{Version: g[0].version, Freshness: discoveryv2.DiscoveryFreshnessCurrent}
	for _, k := range g {
		scope := discoveryv2.ScopeCluster
		if k.namespaced {
			scope = discoveryv2.ScopeNamespace
		}
		self := metav1.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.kind}
		res := discoveryv2.APIResourceDiscovery{Resource: k.resource, ResponseKind: &self, Scope: scope, SingularResource: k.singular(),
			Verbs: verbs(), ShortNames: k.short, Categories: categories(k)}
		for _, sub := range subresources(k) {
			kind := metav1.GroupVersionKind(sub.kind)
			res.Subresources = append(res.Subresources, discoveryv2.APISubresourceDiscovery{Subresource: sub.name, ResponseKind: &kind, Verbs: sub.verbs})
		}
		ver.Resources = append(ver.Resources, res)
	}
	return discoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g[0].group}, Versions: []discoveryv2.APIVersionDiscovery{ver}}
}

func categories(k *kind) []string {
	if k.inAll {
		return []string{"all"}
	}
	return nil
}

// A subresource as discovery shows it.
type subresource struct {
	name  string
	kind  metav1.GroupVersionKind
	verbs []string
}

func subresources(k *kind) (subs []subresource) {
	if k.hasStatus {
		subs = append(subs, subresource{"status", metav1.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.kind}, []string{"get", "patch", "update"}})
	}
	if k.scale {
		subs = append(subs, subresource{"scale", metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, []string{"get", "patch", "update"}})
	}
	if k.kind == "Pod" {
		subs = append(subs,
			subresource{"binding", metav1.GroupVersionKind{Version: "v1", Kind: "Binding"}, []string{"create"}},
			subresource{"eviction", metav1.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}, []string{"create"}},
			subresource{"exec", metav1.GroupVersionKind{Version: "v1", Kind: "PodExecOptions"}, []string{"create", "get"}},
			subresource{"log", metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, []string{"get"}},
			subresource{"portforward", metav1.GroupVersionKind{Version: "v1", Kind: "PodPortForwardOptions"}, []string{"create", "get"}})
	}
	return subs
}

// serveResourceList answers /api/v1, /apis/GROUP and /apis/GROUP/VERSION for clients without aggregated discovery.
func (s *Server) serveResourceList(w http.ResponseWriter, path string) bool {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}}
	for _, k := range s.served() {
		if path == "apis/"+k.group {
			g := apiGroup([]*kind{k})
			g.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}
			writeJSON(w, http.StatusOK, g)
			return true
		}
		if "/"+path != k.root() {
			continue
		}
		list.GroupVersion = k.apiVersion()
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: k.resource, SingularName: k.singular(), Namespaced: k.namespaced,
			Kind: k.kind, Verbs: verbs(), ShortNames: k.short, Categories: categories(k)})
		for _, sub := range subresources(k) {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: k.resource + "/" + sub.name, Namespaced: k.namespaced,
				Group: sub.kind.Group, Version: sub.kind.Version, Kind: sub.kind.Kind, Verbs: sub.verbs})
		}
	}
	if len(list.APIResources) == 0 {
		return false
	}
	writeJSON(w, http.StatusOK, list)
	return true
}
