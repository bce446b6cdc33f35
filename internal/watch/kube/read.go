package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
)

// ReadPolicies takes over the policies of both kinds that a manifest of one or more YAML documents holds. Those without a namespace are
// of namespace "default". Another kind, or a document that can't be read, is an error.
func ReadPolicies(manifest []byte) (list []model.Object, err error) {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		o, err := readPolicy(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if o != nil {
			list = append(list, o)
		}
	}
}

func readPolicy(doc []byte) (model.Object, error) {
	var what metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(doc, &what); err != nil {
		return nil, err
	}
	switch group := what.GroupVersionKind().Group; {
	case what.Kind == "" && what.Name == "":
		return nil, nil // an empty document
	case what.Name == "":
		return nil, fmt.Errorf("a %s without a name", what.Kind)
	case what.Kind == "NetworkPolicy" && group == networkingv1.GroupName:
		var o networkingv1.NetworkPolicy
		if err := yaml.Unmarshal(doc, &o); err != nil {
			return nil, err
		}
		if o.Namespace == "" {
			o.Namespace = metav1.NamespaceDefault
		}
		return ConvertPolicy(&o), nil
	case what.Kind == clusterapi.Kind && group == clusterapi.Group:
		var o api.Raw
		if err := yaml.Unmarshal(doc, &o); err != nil {
			return nil, err
		}
		p, _ := convertClusterPolicy(&o)
		return p, nil
	}
	return nil, fmt.Errorf("%s of %q is no kind of policy that is read here", what.Kind, what.APIVersion)
}
