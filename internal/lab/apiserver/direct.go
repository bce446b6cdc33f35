package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// This file is the Go side of the store: the same rules as over HTTP, without HTTP.

// Put stores typed objects whole, status included, whether they exist or not and whatever their resource version. Defaults, validation
// and allocation are those of any write. Each object is updated to what was stored.
func (s *Store) Put(objs ...Object) error {
	for _, obj := range objs {
		k, err := s.kindOf(obj)
		if err != nil {
			return err
		}
		if err := s.put(k, obj); err != nil {
			return fmt.Errorf("storing %s %s/%s: %w", k.singular(), obj.GetNamespace(), obj.GetName(), err)
		}
	}
	return nil
}

func (s *Store) put(k *kind, obj Object) error {
	obj.SetResourceVersion("")
	obj.SetUID("")
	key := types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	how := manner{scope: scopeWhole}
	_, err := s.update(k, key, how, func(*entry) (Object, error) { return obj, nil })
	if apierrors.IsNotFound(err) {
		_, err = s.create(k, obj, how)
	}
	return err
}

// Modify reads an object into the given one, lets change work on it and stores the result whole, all in one step.
func (s *Store) Modify(into Object, namespace, name string, change func()) error {
	k, err := s.kindOf(into)
	if err != nil {
		return err
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	_, err = s.update(k, key, manner{scope: scopeWhole}, func(was *entry) (Object, error) {
		if err = json.Unmarshal(was.raw, into); err != nil {
			return nil, fmt.Errorf("reading %s %s: %w", k.singular(), key, err)
		}
		change()
		return into, nil
	})
	return err
}

// Get reads one object into the given one. The error of a missing object is one that apierrors.IsNotFound knows.
func (s *Store) Get(into Object, namespace, name string) error {
	k, err := s.kindOf(into)
	if err != nil {
		return err
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	e := s.entry(s.tableOf(k), key)
	if e == nil {
		return apierrors.NewNotFound(k.gr(), name)
	}
	return json.Unmarshal(e.raw, into)
}

// Remove deletes the object of that type at once, whatever its finalizers and its grace.
func (s *Store) Remove(of Object, namespace, name string) error {
	k, err := s.kindOf(of)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tableOf(k)
	was := t.items[types.NamespacedName{Namespace: namespace, Name: name}]
	if was == nil {
		return apierrors.NewNotFound(k.gr(), name)
	}
	_, err = s.drop(t, was)
	return err
}

// RemoveNamed deletes an object of any kind that is served, as Remove does.
func (s *Store) RemoveNamed(apiVersion, kind, name string) error {
	k := s.kindNamed(apiVersion, kind)
	if k == nil {
		return fmt.Errorf("removing %s: no kind %s in %s is served here", name, kind, apiVersion)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tableOf(k)
	was := t.items[types.NamespacedName{Name: name}]
	if was == nil {
		return apierrors.NewNotFound(k.gr(), name)
	}
	_, err := s.drop(t, was)
	return err
}

// PutRaw stores one JSON or YAML object as it is, valid or not: fields of the wrong type, ports of 0, addresses that are none. Only
// what identifies the object and its version is filled in. This is how a test shows nonsense to a client.
func (s *Store) PutRaw(manifest []byte) error {
	raw, err := utilyaml.ToJSON(manifest)
	if err != nil {
		return fmt.Errorf("reading raw object: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return fmt.Errorf("reading raw object: %w", err)
	}
	k := s.kindNamed(lookup(tree, "apiVersion"), lookup(tree, "kind"))
	meta, ok := tree["metadata"].(map[string]any)
	if k == nil || !ok {
		return errors.New("raw object: a served apiVersion and kind and metadata are needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putRaw(s.tableOf(k), tree, meta)
}

func (s *Store) putRaw(t *table, tree, meta map[string]any) error {
	key := types.NamespacedName{Namespace: lookup(meta, "namespace"), Name: lookup(meta, "name")}
	if t.kind.namespaced && key.Namespace == "" {
		key.Namespace, meta["namespace"] = "default", "default"
	}
	uid := uuid.NewUUID()
	if was := t.items[key]; was != nil {
		uid = was.uid
	}
	meta["uid"], meta["resourceVersion"] = string(uid), strconv.FormatUint(s.rv+1, 10)
	if meta["creationTimestamp"] == nil {
		meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("encoding raw object: %w", err)
	}
	found, err := metaOf(raw)
	if err != nil {
		found = &metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: uid}
	}
	e, err := newEntry(t.kind, raw, found, s.rv+1)
	if err != nil {
		return err
	}
	s.commit(t, e)
	return nil
}

// Apply stores a YAML stream of objects (or Lists of them) as `kubectl apply` would: what is missing is created, what exists is merged.
// Namespaced objects without a namespace go to "default".
func (s *Store) Apply(manifests []byte) error {
	docs := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var doc json.RawMessage
		switch err := docs.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading manifests: %w", err)
		case len(doc) == 0 || string(doc) == "null":
			continue
		}
		if err := s.applyDoc(doc); err != nil {
			return err
		}
	}
}

func (s *Store) applyDoc(doc []byte) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(doc, &head); err != nil {
		return fmt.Errorf("reading manifest: %w", err)
	}
	if head.Kind == "List" {
		for _, item := range head.Items {
			if err := s.applyDoc(item); err != nil {
				return err
			}
		}
		return nil
	}
	k := s.kindNamed(head.APIVersion, head.Kind)
	if k == nil {
		return fmt.Errorf("manifest %s: no kind %s in %s is served here", head.Metadata.Name, head.Kind, head.APIVersion)
	}
	key := types.NamespacedName{Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}
	if k.namespaced && key.Namespace == "" {
		key.Namespace = metav1.NamespaceDefault
	}
	if _, _, err := s.apply(k, key, "lab", doc, manner{}); err != nil {
		return fmt.Errorf("applying %s %s: %w", k.singular(), key, err)
	}
	return nil
}

// kindOf finds the kind of a typed object.
func (s *Store) kindOf(obj Object) (*kind, error) {
	for _, k := range s.served() {
		if k.view == nil && reflect.TypeOf(k.create()) == reflect.TypeOf(obj) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("objects of type %T are not served here", obj)
}

// kindNamed finds a kind by the apiVersion and kind of a manifest; nil if it is not served.
func (s *Store) kindNamed(apiVersion, name string) *kind {
	for _, k := range s.served() {
		if k.apiVersion() == apiVersion && k.kind == name {
			return k
		}
	}
	return nil
}
