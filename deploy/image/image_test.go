package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
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

// TestArchiveIsWhatEnginesLoad reads both archives back by the library's own checks.
func TestArchiveIsWhatEnginesLoad(t *testing.T) {
	archs := []string{"amd64", "arm"}
	var images []v1.Image
	for _, arch := range archs {
		img, err := image(sample(t), arch, "1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	dir := t.TempDir()
	text, err := single(images[1], "kube-router:dev")
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "image.tar")
	if err := os.WriteFile(at, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tag, _ := name.NewTag("kube-router:dev")
	img, err := tarball.ImageFromPath(at, &tag)
	if err != nil {
		t.Fatal(err)
	}
	check(t, img, "arm", "v7")

	if text, err = several(images, archs, "example.com/kube-router:dev"); err != nil {
		t.Fatal(err)
	}
	files, _ := untar(t, text)
	for path, text := range files {
		to := filepath.Join(dir, "layout", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	top, err := layout.ImageIndexFromPath(filepath.Join(dir, "layout"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := top.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Annotations["io.containerd.image.name"] != "example.com/kube-router:dev" {
		t.Fatalf("%+v, %v", m, err)
	}
	all, err := top.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(all); err != nil {
		t.Error(err)
	}
	for i, want := range [][2]string{{"amd64", ""}, {"arm", "v7"}} {
		m, err := all.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Manifests[i].Platform; p.Architecture != want[0] || p.Variant != want[1] || p.OS != "linux" {
			t.Errorf("platform %d: %+v", i, p)
		}
		img, err := all.Image(m.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		check(t, img, want[0], want[1])
	}
}

// check reads an image as an engine would, down to the program that it starts.
func check(t *testing.T, img v1.Image, arch, variant string) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	c, err := img.ConfigFile()
	if err != nil || c.Architecture != arch || c.Variant != variant || c.OS != "linux" || c.Config.Labels["org.opencontainers.image.version"] != "1.2.3" {
		t.Fatalf("config %+v, %v", c, err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	inside, _ := untar(t, text)
	if string(inside[strings.TrimPrefix(c.Config.Entrypoint[0], "/")]) != "program" {
		t.Errorf("the entry point is not in the layer: %+v", c.Config)
	}
}

func TestArchiveIsReproducible(t *testing.T) {
	var made [2][2][]byte
	for i := range made {
		img, err := image(sample(t), "amd64", "1")
		if err != nil {
			t.Fatal(err)
		}
		one, err := single(img, "a:b")
		more, err2 := several([]v1.Image{img, img}, []string{"amd64", "arm64"}, "a:b")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		made[i] = [2][]byte{one, more}
	}
	for i := range made[0] {
		if !bytes.Equal(made[0][i], made[1][i]) {
			t.Error("the same input gives other bytes")
		}
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
