package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestArchives packs the plugin for this machine's system and one whose archives are of the other kind, as krew would unpack and check it.
func TestArchives(t *testing.T) {
	t.Chdir("../..")
	out := t.TempDir()
	if err := pack("v9.8.7", out, "https://example.invalid/r", []platform{{"linux", "amd64"}, {"windows", "amd64"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "kuberouter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		APIVersion, Kind string
		Metadata         map[string]string
		Spec             struct {
			Version, ShortDescription, Description string
			Platforms                              []struct {
				Selector         map[string]map[string]string
				URI, SHA256, Bin string
				Files            []map[string]string
			}
		}
	}
	if err = yaml.UnmarshalStrict(text, &m); err != nil {
		t.Fatal(err)
	}
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Metadata["name"] != "kuberouter" || m.Spec.Version != "v9.8.7" || m.Spec.Platforms[1].Selector["matchLabels"]["os"] != "windows" ||
		len(m.Spec.ShortDescription) > 50 || len(m.Spec.Platforms) != 2 {
		t.Errorf("manifest:\n%s", text)
	}
	for _, p := range m.Spec.Platforms {
		var archive []byte
		archive, err = os.ReadFile(filepath.Join(out, filepath.Base(p.URI)))
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(archive)); sum != p.SHA256 || len(archive) > 40<<20 {
			t.Errorf("%s: %d bytes, sum %s, want %s", p.URI, len(archive), sum, p.SHA256)
		}
	}
	dir := t.TempDir()
	if said, failed := exec.Command("tar", "-xzf", filepath.Join(out, "kubectl-kuberouter-v9.8.7-linux-amd64.tar.gz"), "-C", dir).CombinedOutput(); failed != nil {
		t.Fatalf("%v: %s", failed, said)
	}
	said, err := exec.Command(filepath.Join(dir, "kubectl-kuberouter"), "version").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "v9.8.7") {
		t.Errorf("%q, %v", said, err)
	}
}
