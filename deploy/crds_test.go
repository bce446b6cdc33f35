package deploy

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"kube-router/internal/api"
)

// specs are the Go types that the definitions must describe, by plural name.
func specs() map[string][2]reflect.Type {
	return map[string][2]reflect.Type{
		"addresspools":      {reflect.TypeFor[api.AddressPoolSpec](), reflect.TypeFor[api.AddressPoolStatus]()},
		"bgppeers":          {reflect.TypeFor[api.BGPPeerSpec](), reflect.TypeFor[api.BGPStatus]()},
		"egressgateways":    {reflect.TypeFor[api.EgressGatewaySpec](), reflect.TypeFor[api.EgressGatewayStatus]()},
		"nodepolicies":      {reflect.TypeFor[api.NodePolicySpec](), nil},
		"policystatuses":    {reflect.TypeFor[api.PolicyStatusSpec](), reflect.TypeFor[api.PolicyStatusStatus]()},
		"l2advertisements":  {reflect.TypeFor[api.L2AdvertisementSpec](), nil},
		"bgpadvertisements": {reflect.TypeFor[api.BGPAdvertisementSpec](), reflect.TypeFor[api.BGPStatus]()},
	}
}

// schema is as much of a structural schema as is compared with Go types.
type schema struct {
	Type       string            `json:"type"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// checkDefinition compares a definition with the Go type of its kind: every field is described with its type, and no other one.
func checkDefinition(t *testing.T, o object) {
	t.Helper()
	var d struct {
		Metadata struct{ Name string }
		Spec     struct {
			Group string
			Scope string
			Names struct {
				Kind, Plural string
				ShortNames   []string
			}
			Versions []struct {
				Name         string
				Subresources map[string]any
				Columns      []any `json:"additionalPrinterColumns"`
				Schema       struct{ OpenAPIV3Schema schema }
			}
		}
	}
	raw, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := d.Spec.Names.Plural
	types, known := specs()[name]
	if !known || d.Metadata.Name != name+"."+d.Spec.Group || d.Spec.Group != api.Group || d.Spec.Scope != "Cluster" || len(d.Spec.Names.ShortNames) == 0 {
		t.Errorf("%s: unknown, or its group, scope or names are wrong: %+v", d.Metadata.Name, d.Spec.Names)
		return
	}
	if !slices.Contains(api.Kinds(), api.Kind{Kind: d.Spec.Names.Kind, Resource: name}) {
		t.Errorf("%s: kind %s is not in api.Kinds", name, d.Spec.Names.Kind)
	}
	for _, v := range d.Spec.Versions {
		if _, ok := v.Subresources["status"]; v.Name != api.Version.Version || ok != (types[1] != nil) || len(v.Columns) < 3 {
			t.Errorf("%s %s: another version than the daemon's, no status, or hardly a column", name, v.Name)
		}
		fields := v.Schema.OpenAPIV3Schema.Properties
		describes(t, name+".spec", fields["spec"], types[0])
		if types[1] != nil {
			describes(t, name+".status", fields["status"], types[1])
		}
	}
}

// describes compares a schema with a Go type.
func describes(t *testing.T, path string, s schema, of reflect.Type) {
	t.Helper()
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	want := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int32: "integer", reflect.Int64: "integer",
		reflect.Uint8: "integer", reflect.Uint16: "integer", reflect.Uint32: "integer",
		reflect.Slice: "array", reflect.Struct: "object", reflect.Map: "object"}[of.Kind()]
	if of.Name() == "Time" || of.Name() == "Duration" {
		want = "string"
	}
	if s.Type != want {
		t.Errorf("%s: type %q, want %q for %s", path, s.Type, want, of)
		return
	}
	switch {
	case want == "array" && s.Items == nil:
		t.Errorf("%s: no items", path)
	case want == "array":
		describes(t, path+"[]", *s.Items, of.Elem())
	case of.Kind() == reflect.Struct && want == "object":
		var names []string
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
			if sub, ok := s.Properties[name]; ok {
				describes(t, path+"."+name, sub, of.Field(i).Type)
			} else {
				t.Errorf("%s.%s: not in the schema, so the API server would drop it", path, name)
			}
		}
		for name := range s.Properties {
			if !slices.Contains(names, name) {
				t.Errorf("%s.%s: in the schema, and nobody reads it", path, name)
			}
		}
	}
}

// TestEveryKindIsDefined: each of our kinds has a manifest, and the folder installs it.
func TestEveryKindIsDefined(t *testing.T) {
	all := render(t, "kustomize/crds", nil)
	for _, o := range all {
		checkDefinition(t, o)
	}
	files, err := filepath.Glob("kustomize/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(api.Kinds()) || len(files) != len(all)+1 {
		t.Errorf("%d definitions in %d files for %d kinds", len(all), len(files)-1, len(api.Kinds()))
	}
	for _, f := range files {
		var o object
		if err := yaml.Unmarshal(read(t, f), &o); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
