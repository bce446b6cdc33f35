package kube

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// Kinds are the kinds of Kubernetes object that a configuration needs; nothing else is watched.
// Nodes are always needed. Pods, Namespaces and NetworkPolicies are the large part, and only the firewall
// reads them. The router needs Services and their endpoints to know which addresses to announce.
func Kinds(s model.Settings) []model.Kind {
	kinds := []model.Kind{model.KindNode}
	if s.Proxy || s.Router || s.Balancer {
		kinds = append(kinds, model.KindService, model.KindPool)
	}
	if s.Proxy || s.Router {
		kinds = append(kinds, model.KindL2, model.KindSlice)
	}
	if s.Router {
		kinds = append(kinds, model.KindBGPPeer, model.KindBGPAd, model.KindKeyring)
	}
	if s.Firewall || s.Balancer || s.Guards() || s.Gateways {
		kinds = append(kinds, model.KindNamespace) // policies and pools select by them, and they free pods from the guard of their ports
	}
	if s.Gateways {
		kinds = append(kinds, model.KindEgress)
	}
	if s.Firewall || s.Proxy || s.Gateways {
		kinds = append(kinds, model.KindPod) // for Services: their weights, how long they may take to go, whether they may be entered
	}
	if s.Firewall {
		kinds = append(kinds, model.KindPolicy, model.KindClusterPolicy, model.KindNodePolicy)
	}
	return kinds
}

// Resources are those that the settings ask for, by group and name in the URL, to be listed and watched. The one Secret, which need not
// be readable, is not among them.
func Resources(s model.Settings) []schema.GroupResource {
	var list []schema.GroupResource
	for _, k := range Kinds(s) {
		if r, ok := resourceOf(k); ok && r.only == "" {
			list = append(list, schema.GroupResource{Group: r.group.Group, Resource: r.name})
		}
	}
	return list
}

// resource is how one kind is asked for and taken over.
type resource struct {
	kind    model.Kind
	group   schema.GroupVersion
	name    string // in the URL
	labels  string // label selector
	example func() runtime.Object
	convert func(any) (model.Object, bool)
	custom  bool                // of a group that need not be installed, or not ours to read
	only    string              // the one object that is asked for, in the daemon's namespace; empty: all of all namespaces
	older   schema.GroupVersion // asked where the server doesn't know group; may be empty
}

// resourceOf finds the resource of a kind. Slices of headless Services are not asked for: DNS alone
// reads them, and on many clusters they are a third of all.
func resourceOf(k model.Kind) (resource, bool) {
	core := corev1.SchemeGroupVersion
	switch k {
	case model.KindPool:
		return ownResource(k, api.AddressPools, convertPool), true
	case model.KindEgress:
		return ownResource(k, api.EgressGateways, convertEgress), true
	case model.KindNodePolicy:
		return ownResource(k, api.NodePolicies, convertNodePolicy), true
	case model.KindL2:
		return ownResource(k, api.L2Advertisements, convertL2), true
	case model.KindBGPPeer:
		return ownResource(k, api.BGPPeers, convertBGPPeer), true
	case model.KindBGPAd:
		return ownResource(k, api.BGPAdvertisements, convertBGPAd), true
	case model.KindKeyring:
		return resource{kind: k, group: core, name: "secrets", example: example[corev1.Secret], convert: with(convertKeyring), custom: true, only: model.KeyringName}, true
	case model.KindService:
		return resource{kind: k, group: core, name: "services", example: example[corev1.Service], convert: with(ConvertService)}, true
	case model.KindSlice:
		return resource{kind: k, group: discoveryv1.SchemeGroupVersion, name: "endpointslices", labels: "!" + labelHeadless,
			example: example[discoveryv1.EndpointSlice], convert: with(ConvertSlice)}, true
	case model.KindPod:
		return resource{kind: k, group: core, name: "pods", example: example[corev1.Pod], convert: with(ConvertPod)}, true
	case model.KindNamespace:
		return resource{kind: k, group: core, name: "namespaces", example: example[corev1.Namespace], convert: with(ConvertNamespace)}, true
	case model.KindPolicy:
		return resource{kind: k, group: networkingv1.SchemeGroupVersion, name: "networkpolicies",
			example: example[networkingv1.NetworkPolicy], convert: with(ConvertPolicy)}, true
	case model.KindClusterPolicy:
		versions := clusterapi.Versions()
		return resource{kind: k, group: versions[0], older: versions[1], name: clusterapi.Resource, example: example[api.Raw],
			convert: convertClusterPolicy, custom: true}, true
	case model.KindNode:
		return resource{kind: k, group: core, name: "nodes", example: example[corev1.Node], convert: with(ConvertNode)}, true
	}
	return resource{}, false
}

// example makes an empty API object, by whose type a Reflector checks what it receives.
func example[A any, P interface {
	*A
	runtime.Object
}]() runtime.Object {
	return P(new(A))
}

// with makes a typed conversion take any object.
func with[A any, M model.Object](f func(*A) M) func(any) (model.Object, bool) {
	return func(o any) (model.Object, bool) {
		a, ok := o.(*A)
		if !ok {
			return nil, false
		}
		return f(a), true
	}
}
