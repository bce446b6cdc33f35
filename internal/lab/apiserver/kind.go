package apiserver

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	sigsjson "sigs.k8s.io/json"
)

// Object is any typed Kubernetes object: *corev1.Service, *discoveryv1.EndpointSlice and so on.
type Object interface {
	metav1.Object
	runtime.Object
}

// A kind is one line of the table of what is served. Everything that differs between resources is here.
type kind struct {
	group, version string
	resource, kind string // "services", "Service"
	short          []string
	inAll          bool // part of `kubectl get all`
	namespaced     bool
	hasStatus      bool // has a /status subresource; writes elsewhere don't touch the status
	statusOnCreate bool // a status given at creation is kept, as that of a Node
	scale          bool
	generation     bool     // metadata.generation counts changes of what is neither metadata nor status
	fields         []string // selectable fields beside metadata.name and metadata.namespace; "=x" names the value of an absent one
	custom         bool     // comes from a CustomResourceDefinition
	view           *view    // set if the objects are stored under another kind and only shown as this one
	create         func() Object
	defaults       func(Object)
	validate       func(now, was Object) field.ErrorList // was is nil at creation
	validateName   func(name string, prefix bool) []string
	columns        []column
}

// A view is a kind whose objects are stored as another kind under other field names, as an events.k8s.io Event is a core Event.
type view struct {
	of     string            // key of the table that stores them
	stored map[string]string // name in this kind → name as stored
}

// of makes the constructor of one Kubernetes type.
func of[T any, P interface {
	*T
	Object
}]() Object {
	return P(new(T))
}

func (k *kind) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.kind}
}

func (k *kind) gr() schema.GroupResource {
	return schema.GroupResource{Group: k.group, Resource: k.resource}
}

func (k *kind) apiVersion() string { return k.gvk().GroupVersion().String() }

// table is the key of the table that holds the kind's objects.
func (k *kind) table() string {
	if k.view != nil {
		return k.view.of
	}
	return k.gr().String()
}

// root is the path under which the kind's group and version are served.
func (k *kind) root() string {
	if k.group == "" {
		return "/api/" + k.version
	}
	return "/apis/" + k.group + "/" + k.version
}

func (k *kind) singular() string { return strings.ToLower(k.kind) }

// decode reads JSON into the kind's Go type. The second result lists unknown and duplicate fields.
func (k *kind) decode(raw []byte) (Object, []error, error) {
	obj := k.create()
	strict, err := sigsjson.UnmarshalStrict(raw, obj)
	if err != nil {
		return nil, nil, err
	}
	return obj, strict, nil
}

// encode is the stored and transmitted form: JSON with apiVersion and kind set.
func (k *kind) encode(obj Object) ([]byte, error) {
	obj.GetObjectKind().SetGroupVersionKind(k.gvk())
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", k.singular(), err)
	}
	return raw, nil
}

// part is a top-level field of an object by its Go name, such as Status; the zero Value if there is none.
func part(obj Object, name string) reflect.Value {
	return reflect.ValueOf(obj).Elem().FieldByName(name)
}

// copyPart makes one top-level field of to the same as that of from.
func copyPart(name string, to, from Object) {
	dst, src := part(to, name), part(from, name)
	if dst.IsValid() && src.IsValid() {
		dst.Set(src)
	}
}

// clearPart empties one top-level field.
func clearPart(name string, obj Object) {
	if v := part(obj, name); v.IsValid() {
		v.SetZero()
	}
}

// toStored turns JSON of a view into that of the kind that stores it.
func (k *kind) toStored(raw []byte, as *kind) ([]byte, error) {
	if k.view == nil {
		return raw, nil
	}
	return rename(raw, as, k.view.stored)
}

// toShown is the opposite of toStored.
func (k *kind) toShown(raw []byte) ([]byte, error) {
	if k.view == nil {
		return raw, nil
	}
	shown := map[string]string{}
	for theirs, stored := range k.view.stored {
		shown[stored] = theirs
	}
	return rename(raw, k, shown)
}

func rename(raw []byte, as *kind, names map[string]string) ([]byte, error) {
	var fields, out map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("converting to %s: %w", as.gvk(), err)
	}
	out = make(map[string]json.RawMessage, len(fields))
	for name, value := range fields {
		if other, ok := names[name]; ok {
			name = other
		}
		out[name] = value
	}
	out["apiVersion"], _ = json.Marshal(as.apiVersion())
	out["kind"], _ = json.Marshal(as.kind)
	return json.Marshal(out)
}

// indexes tells whether the kind can be selected by that field.
func (k *kind) indexes(name string) bool {
	return name == "metadata.name" || name == "metadata.namespace" ||
		slices.ContainsFunc(k.fields, func(f string) bool { return f == name || strings.HasPrefix(f, name+"=") })
}
