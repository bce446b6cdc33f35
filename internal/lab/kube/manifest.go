package kube

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Apply creates the objects of a manifest of one or more YAML documents, or merges them into those that exist. Objects without a
// namespace belong to "default".
func (c *Client) Apply(ctx context.Context, manifest []byte) error {
	return each(manifest, func(path string, obj *unstructured.Unstructured, body []byte) error {
		err := c.raw.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
		if apierrors.IsAlreadyExists(err) {
			err = c.raw.Patch(types.MergePatchType).AbsPath(path, obj.GetName()).Body(body).Do(ctx).Error()
		}
		return err
	})
}

// Check refuses what Apply would refuse without asking anybody: text that is no YAML, and kinds that the lab doesn't have.
func Check(manifest []byte) error {
	return each(manifest, func(string, *unstructured.Unstructured, []byte) error { return nil })
}

// Remove deletes the objects of a manifest; those that are not there are no error.
func (c *Client) Remove(ctx context.Context, manifest []byte) error {
	return each(manifest, func(path string, obj *unstructured.Unstructured, _ []byte) error {
		err := c.raw.Delete().AbsPath(path, obj.GetName()).Do(ctx).Error()
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Raw is the JSON of what lies at a path, whatever kind it is of.
func (c *Client) Raw(ctx context.Context, path string) ([]byte, error) {
	return c.raw.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
}

// each calls f for every object of the manifest with the path of its collection and its JSON. A bad object doesn't stop the others.
func each(manifest []byte, f func(path string, obj *unstructured.Unstructured, body []byte) error) error {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	var all error
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			return errors.Join(all, fmt.Errorf("manifest: %w", err))
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &obj.Object); err != nil {
			return errors.Join(all, fmt.Errorf("manifest: %w", err))
		}
		if len(obj.Object) == 0 {
			continue
		}
		all = errors.Join(all, one(obj, f))
	}
}

func one(obj *unstructured.Unstructured, f func(path string, obj *unstructured.Unstructured, body []byte) error) error {
	path, namespaced, err := collection(obj)
	if err == nil {
		if namespaced && obj.GetNamespace() == "" {
			obj.SetNamespace("default")
		}
		var body []byte
		if body, err = obj.MarshalJSON(); err == nil {
			err = f(path, obj, body)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return nil
}

// collection is the path of the objects of that kind and namespace. The kinds are those that concern a network; discovery would know
// more, but needs a second client.
func collection(obj *unstructured.Unstructured) (path string, namespaced bool, err error) {
	resources := map[string]string{
		"Pod": "pods", "Service": "services", "Deployment": "deployments", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets",
		"EndpointSlice": "endpointslices", "Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "ConfigMap": "configmaps", "Secret": "secrets",
		"ServiceAccount": "serviceaccounts", "Lease": "leases", "Event": "events", "Role": "roles", "RoleBinding": "rolebindings",
		"-Namespace": "namespaces", "-Node": "nodes", "-ClusterRole": "clusterroles", "-ClusterRoleBinding": "clusterrolebindings",
		"-CustomResourceDefinition": "customresourcedefinitions", "-ClusterNetworkPolicy": "clusternetworkpolicies",
	}
	root := "/apis/" + obj.GetAPIVersion()
	if obj.GetAPIVersion() == "v1" {
		root = "/api/v1"
	}
	if resource, ok := resources["-"+obj.GetKind()]; ok {
		return root + "/" + resource, false, nil
	}
	if strings.HasPrefix(obj.GetAPIVersion(), "kube-router.io/") { // ours belong to no namespace, and form their plurals by rule
		one := strings.ToLower(obj.GetKind())
		if stem, ok := strings.CutSuffix(one, "cy"); ok { // NodePolicy
			one = stem + "cie"
		}
		return root + "/" + one + "s", false, nil
	}
	resource, ok := resources[obj.GetKind()]
	if !ok {
		return "", false, fmt.Errorf("the lab has no kind %q", obj.GetKind())
	}
	namespace := obj.GetNamespace()
	if namespace == "" {
		namespace = "default"
	}
	return root + "/namespaces/" + namespace + "/" + resource, true, nil
}
