package apiserver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
)

// definition is a CustomResourceDefinition (apiextensions.k8s.io/v1) as far as it is honoured here: names, scope, the version that is
// served, status and printed columns. Schemas and their rules are read by nobody: what they refuse, a real API server shows.
type definition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              definitionSpec   `json:"spec"`
	Status            definitionStatus `json:"status,omitzero"`
}

type definitionSpec struct {
	Group    string              `json:"group"`
	Scope    string              `json:"scope"`
	Names    definitionNames     `json:"names"`
	Versions []definitionVersion `json:"versions"`
}

type definitionNames struct {
	Plural     string   `json:"plural"`
	Singular   string   `json:"singular,omitempty"`
	Kind       string   `json:"kind"`
	ListKind   string   `json:"listKind,omitempty"`
	ShortNames []string `json:"shortNames,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

type definitionVersion struct {
	Name         string                     `json:"name"`
	Served       bool                       `json:"served"`
	Storage      bool                       `json:"storage"`
	Schema       json.RawMessage            `json:"schema,omitempty"`
	Subresources map[string]json.RawMessage `json:"subresources,omitempty"`
	Columns      []definitionColumn         `json:"additionalPrinterColumns,omitempty"`
}

type definitionColumn struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Format      string `json:"format,omitempty"`
	Description string `json:"description,omitempty"`
	Priority    int32  `json:"priority,omitempty"`
	JSONPath    string `json:"jsonPath"`
}

type definitionStatus struct {
	Conditions    []metav1.Condition `json:"conditions"`
	AcceptedNames definitionNames    `json:"acceptedNames"`
}

// DeepCopyObject implements runtime.Object.
func (d *definition) DeepCopyObject() runtime.Object { return deepCopy(d) }

// custom is an object of a kind that a definition brings.
type custom struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              json.RawMessage `json:"spec,omitempty"`
	Status            json.RawMessage `json:"status,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (c *custom) DeepCopyObject() runtime.Object { return deepCopy(c) }

// deepCopy copies by way of JSON, which is how these objects come and go anyway.
func deepCopy[T any](o *T) *T {
	to := new(T)
	if raw, err := json.Marshal(o); err == nil {
		_ = json.Unmarshal(raw, to) // it was a T before
	}
	return to
}

func definitionKind() *kind {
	return &kind{group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions", kind: "CustomResourceDefinition", create: of[definition],
		short: []string{"crd", "crds"}, generation: true, defaults: establish}
}

// establish says at once what a cluster says after a moment.
func establish(o Object) {
	d, ok := o.(*definition)
	if !ok {
		return
	}
	d.Status = definitionStatus{AcceptedNames: d.Spec.Names}
	for _, typ := range []string{"NamesAccepted", "Established"} {
		d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{Type: typ, Status: metav1.ConditionTrue, Reason: "Accepted", LastTransitionTime: d.CreationTimestamp})
	}
}

// define brings what is served in line with the definitions, when one of them has changed. The caller holds the lock.
func (s *Store) define(changed *kind) {
	if changed.resource != "customresourcedefinitions" {
		return
	}
	was := s.catalog.Load()
	now := &catalog{tables: map[string]*table{}}
	for key, t := range was.tables {
		now.tables[key] = t
	}
	for _, k := range was.kinds {
		if !k.custom {
			now.kinds = append(now.kinds, k)
		}
	}
	for _, e := range s.tableOf(changed).items {
		d, ok := changed.decodeLoosely(e.raw).(*definition)
		if !ok {
			continue
		}
		for _, v := range d.Spec.Versions {
			if !v.Served {
				continue
			}
			k := customKind(d, v)
			now.kinds = append(now.kinds, k)
			if t := now.tables[k.table()]; t == nil {
				now.tables[k.table()] = s.newTable(k)
			} else {
				now.tables[k.table()] = &table{kind: k, items: t.items, history: t.history}
			}
		}
	}
	slices.SortStableFunc(now.kinds, func(a, b *kind) int {
		if !a.custom || !b.custom {
			return 0
		}
		return strings.Compare(a.resource, b.resource)
	})
	s.catalog.Store(now)
	s.forsake(was, now)
}

// serves tells whether a kind is served still.
func (s *Store) serves(k *kind) bool {
	return slices.ContainsFunc(s.served(), func(o *kind) bool { return o.root() == k.root() && o.resource == k.resource })
}

// forsake drops the objects of kinds that are served no more.
func (s *Store) forsake(was, now *catalog) {
	for _, k := range was.kinds {
		if slices.ContainsFunc(now.kinds, func(o *kind) bool { return o.table() == k.table() }) {
			continue
		}
		t := now.tables[k.table()]
		for _, e := range t.items {
			_, _ = s.drop(t, e) // of an object that was stored, so it can be encoded
		}
	}
}

// customKind is a kind as its definition has it.
func customKind(d *definition, v definitionVersion) *kind {
	_, status := v.Subresources["status"]
	return &kind{group: d.Spec.Group, version: v.Name, resource: d.Spec.Names.Plural, kind: d.Spec.Names.Kind, short: d.Spec.Names.ShortNames,
		namespaced: d.Spec.Scope == "Namespaced", hasStatus: status, generation: true, custom: true, create: of[custom], defaults: tidy,
		validateName: apivalidation.NameIsDNSSubdomain, columns: customColumns(v.Columns)}
}

// tidy gives equal content one form, so that the generation counts changes of substance.
func tidy(o Object) {
	c, ok := o.(*custom)
	if !ok {
		return
	}
	for _, part := range []*json.RawMessage{&c.Spec, &c.Status} {
		var tree any
		if len(*part) > 0 && json.Unmarshal(*part, &tree) == nil {
			*part, _ = json.Marshal(tree)
		}
	}
}

func customColumns(list []definitionColumn) []column {
	columns := []column{nameColumn()}
	for _, c := range list {
		path := strings.TrimPrefix(c.JSONPath, ".")
		columns = append(columns, column{name: c.Name, wide: c.Priority > 0, cell: func(o Object) any {
			var tree map[string]any
			raw, _ := json.Marshal(o)
			_ = json.Unmarshal(raw, &tree)
			return cell(tree, path)
		}})
	}
	return append(columns, ageColumn())
}

// cell is what a simple path leads to: names with dots between, and at most one filter of conditions by type.
func cell(tree any, path string) any {
	before, rest, filtered := strings.Cut(path, `[?(@.type=="`)
	if filtered {
		typ, after, _ := strings.Cut(rest, `")].`)
		list, _ := cell(tree, before).([]any)
		for _, c := range list {
			if m, ok := c.(map[string]any); ok && m["type"] == typ {
				return cell(m, after)
			}
		}
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		m, ok := tree.(map[string]any)
		if !ok || m[name] == nil {
			return ""
		}
		tree = m[name]
	}
	return tree
}

// mergedCustom is a three-way merge without knowledge of lists, as for any kind that a definition brings.
func (s *Store) mergedCustom(k *kind, last, manifest, shown []byte) (Object, error) {
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(last, manifest, shown)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("merging the apply patch: %v", err))
	}
	out, err := patched(k, types.MergePatchType, shown, patch)
	if err != nil {
		return nil, err
	}
	return s.take(k, out, nil)
}
