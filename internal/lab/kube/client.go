// Package kube is how the lab talks to a Kubernetes API server, its own or any other: a REST client for the kinds that the lab's
// stand-ins read and write, informers for them, and manifests. It knows nothing of network namespaces.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Object is any API object.
type Object interface {
	runtime.Object
	metav1.Object
}

// Client reads and writes API objects.
type Client struct {
	config *rest.Config
	groups map[schema.GroupVersion]*rest.RESTClient
	raw    rest.Interface
}

// New makes a client from a kubeconfig file's content.
func New(kubeconfig []byte) (*Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS = -1 // the lab is the only user of its server
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme} {
		if err = add(scheme); err != nil {
			return nil, fmt.Errorf("API types: %w", err)
		}
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c := &Client{config: config, groups: map[schema.GroupVersion]*rest.RESTClient{}}
	for _, gv := range []schema.GroupVersion{corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion} {
		of := rest.CopyConfig(config)
		of.GroupVersion, of.APIPath = &gv, "/apis"
		if gv.Group == "" {
			of.APIPath = "/api"
		}
		if c.groups[gv], err = rest.RESTClientFor(of); err != nil {
			return nil, fmt.Errorf("API client for %s: %w", gv, err)
		}
	}
	c.raw = c.groups[corev1.SchemeGroupVersion]
	return c, nil
}

// Host is the server's URL.
func (c *Client) Host() string { return c.config.Host }

// place is where objects of a Go type are kept.
type place struct {
	gv       schema.GroupVersion
	resource string
	global   bool
}

func placeOf(obj runtime.Object) place {
	name := strings.TrimSuffix(reflect.TypeOf(obj).Elem().Name(), "List")
	p := place{gv: corev1.SchemeGroupVersion, resource: strings.ToLower(name) + "s"}
	switch name {
	case "Node", "Namespace":
		p.global = true
	case "Deployment", "DaemonSet":
		p.gv = appsv1.SchemeGroupVersion
	case "EndpointSlice":
		p.gv = discoveryv1.SchemeGroupVersion
	case "NetworkPolicy":
		p.gv, p.resource = networkingv1.SchemeGroupVersion, "networkpolicies"
	}
	return p
}

func (c *Client) to(request func(*rest.RESTClient) *rest.Request, obj Object) *rest.Request {
	p := placeOf(obj)
	return request(c.groups[p.gv]).NamespaceIfScoped(obj.GetNamespace(), !p.global).Resource(p.resource)
}

// into replaces obj by the answer, whole: reading JSON into what is there already would keep fields that the answer doesn't have, and
// write through pointers that obj shares with others.
func into(answer rest.Result, obj Object) error {
	fresh := reflect.New(reflect.TypeOf(obj).Elem())
	if err := answer.Into(fresh.Interface().(runtime.Object)); err != nil {
		return err
	}
	reflect.ValueOf(obj).Elem().Set(fresh.Elem())
	return nil
}

// Create makes the object and updates it to what was stored.
func (c *Client) Create(ctx context.Context, obj Object) error {
	return into(c.to((*rest.RESTClient).Post, obj).Body(obj).Do(ctx), obj)
}

// Update replaces the object; a stale resource version is a conflict.
func (c *Client) Update(ctx context.Context, obj Object) error {
	return into(c.to((*rest.RESTClient).Put, obj).Name(obj.GetName()).Body(obj).Do(ctx), obj)
}

// Get reads the object of obj's namespace and name into obj.
func (c *Client) Get(ctx context.Context, obj Object) error {
	return into(c.to((*rest.RESTClient).Get, obj).Name(obj.GetName()).Do(ctx), obj)
}

// Merge patches the object (RFC 7396), or its subresource such as "status" when that isn't "".
func (c *Client) Merge(ctx context.Context, obj Object, subresource string, patch any) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("patch of %s: %w", obj.GetName(), err)
	}
	patching := func(r *rest.RESTClient) *rest.Request { return r.Patch(types.MergePatchType) }
	request := c.to(patching, obj).Name(obj.GetName())
	if subresource != "" {
		request = request.SubResource(subresource)
	}
	return request.Body(body).Do(ctx).Error()
}

// Delete deletes the object with that grace period in seconds, or its own when nil. With a UID it deletes only that very object.
func (c *Client) Delete(ctx context.Context, obj Object, grace *int64) error {
	opts := metav1.DeleteOptions{GracePeriodSeconds: grace}
	if uid := obj.GetUID(); uid != "" {
		opts.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	return c.to((*rest.RESTClient).Delete, obj).Name(obj.GetName()).Body(&opts).Do(ctx).Error()
}

// List reads objects of the list's kind, those of one namespace unless it is "", and those that the label selector takes.
func (c *Client) List(ctx context.Context, list runtime.Object, namespace, selector string) error {
	p := placeOf(list)
	return c.groups[p.gv].Get().NamespaceIfScoped(namespace, namespace != "").Resource(p.resource).
		VersionedParams(&metav1.ListOptions{LabelSelector: selector}, metav1.ParameterCodec).Do(ctx).Into(list)
}

// Bind gives a pod to a node, as a scheduler does.
func (c *Client) Bind(ctx context.Context, pod *corev1.Pod, node string) error {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	return c.to((*rest.RESTClient).Post, pod).Name(pod.Name).SubResource("binding").Body(binding).Do(ctx).Error()
}
