package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is the skeleton with a program that lies in a folder.
func sample(t *testing.T) tree {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "usr/local/bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "usr/local/bin/kube-router"), []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := skeleton()
	if err := all.load(dir); err != nil {
		t.Fatal(err)
	}
	return all
}

func untar(t *testing.T, text []byte) (map[string][]byte, []*tar.Header) {
	t.Helper()
	files, headers := map[string][]byte{}, []*tar.Header(nil)
	r := tar.NewReader(bytes.NewReader(text))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], headers = body, append(headers, h)
	}
}

func decode[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestArchiveFollowsBothFormats(t *testing.T) {
	archive, err := pack(sample(t), "kube-router:dev", "arm")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := untar(t, archive)
	get := func(d descriptor) []byte {
		text := files[blobPath(d.Digest)]
		sum := sha256.Sum256(text)
		if d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != len(text) {
			t.Fatalf("%+v is not its blob's descriptor", d)
		}
		return text
	}
	entry := decode[index](t, files["index.json"]).Manifests[0]
	if want := (&platform{"arm", "linux", "v7"}); cmp.Diff(want, entry.Platform) != "" || entry.Annotations["io.containerd.image.name"] != "docker.io/library/kube-router:dev" {
		t.Errorf("index: %+v", entry)
	}
	m := decode[manifest](t, get(entry))
	config := decode[imageConfig](t, get(m.Config))
	layer := get(m.Layers[0])
	if config.RootFS.DiffIDs[0] != m.Layers[0].Digest || config.OS != "linux" || config.Architecture != "arm" {
		t.Errorf("config: %+v", config)
	}
	docker := decode[[]dockerImage](t, files["manifest.json"])
	want := []dockerImage{{blobPath(m.Config.Digest), []string{"kube-router:dev"}, []string{blobPath(m.Layers[0].Digest)}}}
	if d := cmp.Diff(want, docker); d != "" {
		t.Error(d)
	}
	inside, _ := untar(t, layer)
	if string(inside[strings.TrimPrefix(config.Config.Entrypoint[0], "/")]) != "program" {
		t.Errorf("the entry point is not in the layer: %+v", config.Config)
	}
}

func TestArchiveIsReproducible(t *testing.T) {
	one, err := pack(sample(t), "a:b", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	two, err := pack(sample(t), "a:b", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the same input gives other bytes")
	}
	layer, err := sample(t).layer()
	if err != nil {
		t.Fatal(err)
	}
	_, headers := untar(t, layer)
	var names []string
	for _, h := range headers {
		names = append(names, strings.TrimSuffix(h.Name, "/"))
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s: owner %d:%d, time %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		if h.Name == "usr/local/bin/kube-router" && h.Mode != 0o755 {
			t.Errorf("%s: mode %o", h.Name, h.Mode)
		}
		if parent := filepath.Dir(strings.TrimSuffix(h.Name, "/")); parent != "." && !slices.Contains(names, parent) {
			t.Errorf("%s comes before its folder", h.Name)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %q", names)
	}
}

func TestFullName(t *testing.T) {
	for tag, want := range map[string][2]string{
		"kube-router":                      {"docker.io/library/kube-router:latest", "latest"},
		"kube-router:dev":                  {"docker.io/library/kube-router:dev", "dev"},
		"me/kube-router:dev":               {"docker.io/me/kube-router:dev", "dev"},
		"localhost/kube-router:dev":        {"localhost/kube-router:dev", "dev"},
		"example.com/net/kube-router":      {"example.com/net/kube-router:latest", "latest"},
		"example.com:5000/kube-router:1.0": {"example.com:5000/kube-router:1.0", "1.0"},
		"example.com:5000/kube-router":     {"example.com:5000/kube-router:latest", "latest"},
	} {
		if name, version := fullName(tag); name != want[0] || version != want[1] {
			t.Errorf("%s: %s, %s; want %s", tag, name, version, want)
		}
	}
}

func TestRootfs(t *testing.T) {
	dir := t.TempDir()
	if err := sample(t).write(dir); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(dir, "var/run")); err != nil || to != "/run" {
		t.Errorf("/var/run leads to %q, %v", to, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "usr/local/bin/kube-router"))
	if err != nil || string(text) != "program" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestProgramsExist: a package that is gone would be noticed only when somebody builds the image.
func TestProgramsExist(t *testing.T) {
	for _, packages := range programs() {
		for _, p := range packages {
			if !strings.HasPrefix(p, "./") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", "..", p, "main.go")); err != nil {
				t.Error(err)
			}
		}
	}
}
