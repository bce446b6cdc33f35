package convert

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens")

// TestManifests compares what is made of manifests with what somebody has read.
func TestManifests(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) < 2 {
		t.Fatal("no manifests")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		have, err := Manifest(list)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(have, "sesame") || strings.Contains(have, "c2VzYW1l") {
			t.Errorf("%s: a password is written", name)
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(have), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), have); d != "" {
			t.Errorf("%s: want - have +:\n%s", name, d)
		}
	}
}

// TestNothingIsLost: a field that nobody reads is told, wherever it is, and a list of a cluster is its items.
func TestNothingIsLost(t *testing.T) {
	list, err := Read([]byte(`{"kind": "IPAddressPoolList", "apiVersion": "metallb.io/v1beta1", "items": [
		{"metadata": {"name": "a"}, "spec": {"addresses": ["192.0.2.0/24"], "surprise": 1, "serviceAllocation": {"other": [2]}}}]}`))
	if err != nil || len(list) != 1 {
		t.Fatal(err, list)
	}
	have, err := Manifest(list)
	for _, line := range []string{"# NOTE: spec.surprise has no counterpart: 1", "# NOTE: spec.serviceAllocation.other has no counterpart: - 2", "name: a"} {
		if err != nil || !strings.Contains(have, line) {
			t.Errorf("%v: no %q in\n%s", err, line, have)
		}
	}
}
