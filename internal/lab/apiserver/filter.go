package apiserver

import (
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// A filter is which objects a request is about. The zero value is all.
type filter struct {
	namespace string
	labels    labels.Selector
	fields    fields.Selector
}

func (f filter) matches(e *entry) bool {
	return e != nil &&
		(f.namespace == "" || f.namespace == e.key.Namespace) &&
		(f.labels == nil || f.labels.Matches(e.labels)) &&
		(f.fields == nil || f.fields.Matches(e.fields))
}

// newFilter reads labelSelector and fieldSelector; a field that the kind does not index is an error, as in a cluster.
func newFilter(stored *kind, namespace, name string, query url.Values) (filter, error) {
	f := filter{namespace: namespace}
	var err error
	if text := query.Get("labelSelector"); text != "" {
		if f.labels, err = labels.Parse(text); err != nil {
			return f, apierrors.NewBadRequest(err.Error())
		}
	}
	text := query.Get("fieldSelector")
	if name != "" {
		text = "metadata.name=" + name
	}
	if text == "" {
		return f, nil
	}
	if f.fields, err = fields.ParseSelector(text); err != nil {
		return f, apierrors.NewBadRequest(err.Error())
	}
	for _, r := range f.fields.Requirements() {
		if !stored.indexes(r.Field) {
			return f, apierrors.NewBadRequest(fmt.Sprintf("Unable to find %q that match label selector %q, field selector %q: field label not supported: %s",
				stored.gvk(), query.Get("labelSelector"), text, r.Field))
		}
	}
	return f, nil
}
