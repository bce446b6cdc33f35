package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// kustomization is as much of kustomize as our folders use: resources, components, and strategic merge
// patches from files. An unknown field fails, so that a folder can't ask for more than is rendered.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Resources  []string `json:"resources,omitempty"`
	Components []string `json:"components,omitempty"`
	Patches    []struct {
		Path string `json:"path"`
	} `json:"patches,omitempty"`
}

// object is any Kubernetes object.
type object = map[string]any

// identity tells objects apart: kind, namespace and name.
func identity(o object) string {
	m, _ := o["metadata"].(object)
	return fmt.Sprint(o["kind"], " ", m["namespace"], "/", m["name"])
}

// render makes the objects of a kustomization folder, adding to those that a component is applied to.
func render(t *testing.T, dir string, all []object) []object {
	t.Helper()
	var k kustomization
	if err := yaml.UnmarshalStrict(read(t, filepath.Join(dir, "kustomization.yaml")), &k); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, r := range k.Resources {
		path := filepath.Join(dir, r)
		if strings.HasSuffix(r, ".yaml") {
			all = append(all, documents(t, read(t, path))...)
		} else {
			all = append(all, render(t, path, nil)...)
		}
	}
	for _, c := range k.Components {
		all = render(t, filepath.Join(dir, c), all)
	}
	for _, p := range k.Patches {
		for _, patch := range documents(t, read(t, filepath.Join(dir, p.Path))) {
			apply(t, all, patch)
		}
	}
	return all
}

// apply merges a patch into the one object that it names.
func apply(t *testing.T, all []object, patch object) {
	t.Helper()
	for i, o := range all {
		if identity(o) != identity(patch) {
			continue
		}
		merged, err := strategicpatch.StrategicMergeMapPatch(o, patch, appsv1.DaemonSet{})
		if err != nil {
			t.Fatalf("%s: %v", identity(patch), err)
		}
		all[i] = merged
		return
	}
	t.Fatalf("a patch for %s, which isn't there", identity(patch))
}

// documents are the objects of a YAML file.
func documents(t *testing.T, text []byte) []object {
	t.Helper()
	var all []object
	for _, part := range bytes.Split(append([]byte("\n"), text...), []byte("\n---\n")) {
		o := object{}
		if err := yaml.UnmarshalStrict(part, &o); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// print makes one file of the objects, the DaemonSet last so that what it needs is there, below the
// remarks with which the overlay's own file begins.
func print(t *testing.T, dir string, all []object) []byte {
	t.Helper()
	var b, last bytes.Buffer
	fmt.Fprintf(&b, "# Rendered from kustomize/overlays/%s; change it there.\n", filepath.Base(dir))
	for line := range strings.Lines(string(read(t, filepath.Join(dir, "kustomization.yaml")))) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		b.WriteString(line)
	}
	for _, o := range all {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		to := &b
		if o["kind"] == "DaemonSet" {
			to = &last
		}
		fmt.Fprintf(to, "---\n%s", text)
	}
	return append(b.Bytes(), last.Bytes()...)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// overlays are the folders that users apply.
func overlays(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("kustomize/overlays/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no overlays: %v", err)
	}
	return dirs
}

// typed decodes an object strictly: a field that the API doesn't know fails.
func typed(t *testing.T, o object, into any) {
	t.Helper()
	text, err := json.Marshal(maps.Clone(o))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%s: %v", identity(o), err)
	}
}
