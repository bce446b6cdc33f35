package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image is the container image of one architecture: one layer, no time in it.
func image(t tree, arch, version string) (v1.Image, error) {
	text, err := t.layer()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return nil, fmt.Errorf("add the layer: %w", err)
	}
	was, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config, at := was.DeepCopy(), platform(arch)
	config.Architecture, config.OS, config.Variant = at.Architecture, at.OS, at.Variant
	config.Config = v1.Config{
		Env: []string{"PATH=/usr/local/bin"}, Entrypoint: []string{"/usr/local/bin/kube-router"}, WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title": "kube-router", "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.version": version,
		},
	}
	return mutate.ConfigFile(img, config)
}

func platform(arch string) *v1.Platform {
	p := &v1.Platform{OS: "linux", Architecture: arch}
	if arch == "arm" {
		p.Variant = "v7"
	}
	return p
}

// single is an archive as `docker save` makes it, which every engine and runtime loads.
func single(img v1.Image, tag string) ([]byte, error) {
	ref, err := name.NewTag(tag)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := tarball.Write(ref, img, &b); err != nil {
		return nil, fmt.Errorf("write the archive: %w", err)
	}
	return b.Bytes(), nil
}

// several is an archive of an OCI layout with one image index over all architectures, in the order given.
func several(images []v1.Image, archs []string, tag string) ([]byte, error) {
	all := v1.ImageIndex(empty.Index)
	for i, img := range images {
		all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform(archs[i])}})
	}
	dir, err := os.MkdirTemp("", "kube-router-layout-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, fmt.Errorf("begin the layout: %w", err)
	}
	full, version := fullName(tag)
	names := map[string]string{"io.containerd.image.name": full, "org.opencontainers.image.ref.name": version}
	if err := at.AppendIndex(all, layout.WithAnnotations(names)); err != nil {
		return nil, fmt.Errorf("write the layout: %w", err)
	}
	files := tree{}
	if err := files.load(dir); err != nil {
		return nil, err
	}
	return files.layer()
}

// fullName is a name with what Docker's short form leaves out, and its tag. containerd takes names from an
// OCI layout as they are written, but kubelet asks for the full one.
func fullName(tag string) (full, version string) {
	path, version := tag, "latest"
	if colon := strings.LastIndex(tag, ":"); colon > strings.LastIndex(tag, "/") {
		path, version = tag[:colon], tag[colon+1:]
	}
	host, _, deeper := strings.Cut(path, "/")
	switch {
	case !deeper:
		path = "docker.io/library/" + path
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		path = "docker.io/" + path
	}
	return path + ":" + version, version
}
