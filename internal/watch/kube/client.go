package kube

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
)

// The files of a pod's service account, as kubelet mounts them.
const (
	accountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	accountCA    = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
)

// Config finds the API server: a kubeconfig file, or the pod's service account when there is none.
// master, when set, replaces the server's address alone; credentials stay what they were.
func Config(kubeconfig, master, userAgent string) (*rest.Config, error) {
	c, err := config(kubeconfig, master)
	if err != nil {
		return nil, err
	}
	c.UserAgent = userAgent
	return c, nil
}

func config(kubeconfig, master string) (*rest.Config, error) {
	if kubeconfig != "" {
		c, err := clientcmd.BuildConfigFromFlags(master, kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
		}
		if master == "" {
			c.Wrap(func(next http.RoundTripper) http.RoundTripper { return &follower{next: next, file: kubeconfig} })
		}
		return c, nil
	}
	c, err := rest.InClusterConfig()
	switch {
	case err == nil && master != "":
		c.Host = master
	case errors.Is(err, rest.ErrNotInCluster) && master != "":
		return account(master), nil
	case err != nil:
		return nil, fmt.Errorf("no --kubeconfig given and not running in a cluster: %w", err)
	}
	return c, nil
}

// account reaches an address with the service account's credentials where these are mounted although
// the cluster's own address is not told, as for a pod with enableServiceLinks off.
func account(master string) *rest.Config {
	c := &rest.Config{Host: master}
	if _, err := os.Stat(accountToken); err == nil {
		c.BearerTokenFile = accountToken
	}
	if _, err := os.Stat(accountCA); err == nil {
		c.CAFile = accountCA
	}
	return c
}

// newClients makes one REST client for each API group, over one shared connection. The scheme holds our
// groups only; client-go's whole clientset would link all of them.
func newClients(base *rest.Config) (map[schema.GroupVersion]rest.Interface, error) {
	c := rest.CopyConfig(base)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, api.Register, registerClusterPolicies} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.ContentType = runtime.ContentTypeProtobuf
	c.QPS = -1    // a handful of watches; client-go's limiter would only delay their first lists
	c.Timeout = 0 // a watch has no end
	http, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", c.Host, err)
	}
	clients, paths := map[schema.GroupVersion]rest.Interface{}, map[schema.GroupVersion]string{
		corev1.SchemeGroupVersion: "/api", discoveryv1.SchemeGroupVersion: "/apis", networkingv1.SchemeGroupVersion: "/apis", api.Version: "/apis",
	}
	for _, gv := range clusterapi.Versions() {
		paths[gv] = "/apis"
	}
	for gv, path := range paths {
		group := rest.CopyConfig(c)
		group.GroupVersion, group.APIPath = &gv, path
		if clients[gv], err = rest.RESTClientForConfigAndClient(group, http); err != nil {
			return nil, fmt.Errorf("API server %s: %w", c.Host, err)
		}
	}
	return clients, nil
}
