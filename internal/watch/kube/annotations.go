package kube

import (
	"maps"
	"slices"
	"strings"

	"kube-router/internal/model"
)

// prefix begins every annotation of ours.
const prefix = "kube-router.io/"

// Annotation describes one annotation that is honoured, for the user's guide.
type Annotation struct {
	Key   string     // with the kube-router.io/ prefix
	Kind  model.Kind // the kind of object that may carry it
	Value string     // what it may hold, in a few words
	Doc   string     // what it does, in one line
}

// Annotations are all annotations that are honoured, those of Services first.
func Annotations() []Annotation {
	return slices.Concat(describe(model.KindService, serviceAnnotations()), describe(model.KindNode, nodeAnnotations()),
		describe(model.KindPod, podAnnotations()), describe(model.KindNamespace, namespaceAnnotations()),
		describe(model.KindPolicy, policyAnnotations()), describe(model.KindClusterPolicy, clusterPolicyAnnotations()),
		describe(model.KindNodePolicy, nodePolicyAnnotations()))
}

// annotation is one annotation of objects that become a T: its description and its parser in one place.
// parse gets the text as it is and remarks on what it can't use.
type annotation[T any] struct {
	key, value, doc string
	parse           func(*T, input)
}

// input is the text of one annotation, with the others of its object for those that come in pairs.
type input struct {
	key, text string
	all       map[string]string
	remarks   *remarks
}

// wrong notes what is wrong with the annotation.
func (in input) wrong(format string, args ...any) { in.remarks.add(prefix+in.key, format, args...) }

// field is the annotation's key as remarks name it.
func (in input) field() string { return prefix + in.key }

// other is the text of another annotation of the same object.
func (in input) other(key string) (string, bool) {
	s, ok := in.all[prefix+key]
	return s, ok
}

// parseAnnotations applies the annotations that an object carries, in the order of the table, and
// remarks on those under our prefix that nobody knows: a misspelt one would else be silent.
func parseAnnotations[T any](to *T, r *remarks, table []annotation[T], all map[string]string) {
	for _, a := range table {
		if text, ok := all[prefix+a.key]; ok {
			a.parse(to, input{key: a.key, text: text, all: all, remarks: r})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		known := func(a annotation[T]) bool { return prefix+a.key == k }
		if strings.HasPrefix(k, prefix) && !slices.ContainsFunc(table, known) {
			r.add(k, "unknown annotation ignored")
		}
	}
}

// ours tells whether any annotation is under our prefix; most objects have none.
func ours(all map[string]string) bool {
	for k := range all {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

func describe[T any](k model.Kind, table []annotation[T]) []Annotation {
	var list []Annotation
	for _, a := range table {
		list = append(list, Annotation{Key: prefix + a.key, Kind: k, Value: a.value, Doc: a.doc})
	}
	return list
}
