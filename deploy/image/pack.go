package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"strings"
)

// descriptor points to a blob (OCI image specification 1.1).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type imageConfig struct {
	platform
	Config process `json:"config"`
	RootFS rootFS  `json:"rootfs"`
}

type process struct {
	Env        []string          `json:"Env"`
	Entrypoint []string          `json:"Entrypoint"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// dockerImage is an entry of docker-archive's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

const oci = "application/vnd.oci.image."

// pack makes one archive that is an OCI layout and a docker-archive at once: both name the same blobs.
func pack(t tree, tag, arch string) ([]byte, error) {
	layer, err := t.layer()
	if err != nil {
		return nil, err
	}
	files := tree{}
	where := platform{Architecture: arch, OS: "linux"}
	if arch == "arm" {
		where.Variant = "v7"
	}
	layerAt := files.blob(oci+"layer.v1.tar", layer)
	configAt, err := files.object(oci+"config.v1+json", imageConfig{
		platform: where,
		Config: process{
			Env:        []string{"PATH=/usr/local/bin"},
			Entrypoint: []string{"/usr/local/bin/kube-router"},
			WorkingDir: "/",
			Labels:     map[string]string{"org.opencontainers.image.title": "kube-router", "org.opencontainers.image.licenses": "Apache-2.0"},
		},
		RootFS: rootFS{"layers", []string{layerAt.Digest}},
	})
	if err != nil {
		return nil, err
	}
	manifestAt, err := files.object(oci+"manifest.v1+json", manifest{2, oci + "manifest.v1+json", configAt, []descriptor{layerAt}})
	if err != nil {
		return nil, err
	}
	name, version := fullName(tag)
	manifestAt.Platform, manifestAt.Annotations = &where, map[string]string{
		"io.containerd.image.name": name, "org.opencontainers.image.ref.name": version,
	}
	return files.entryPoints(tag, configAt, layerAt, manifestAt)
}

// fullName is a name with what Docker's short form leaves out, and its tag. containerd takes names from an
// OCI layout as they are written, but kubelet asks for the full one.
func fullName(tag string) (name, version string) {
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

// entryPoints adds the files by which readers of each format begin, and makes the archive.
func (t tree) entryPoints(tag string, configAt, layerAt, manifestAt descriptor) ([]byte, error) {
	for name, v := range map[string]any{
		"oci-layout":    map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json":    index{2, oci + "index.v1+json", []descriptor{manifestAt}},
		"manifest.json": []dockerImage{{blobPath(configAt.Digest), []string{tag}, []string{blobPath(layerAt.Digest)}}},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		t[name] = entry{0o644, text}
	}
	t["blobs"], t["blobs/sha256"] = entry{fs.ModeDir | 0o755, nil}, entry{fs.ModeDir | 0o755, nil}
	return t.layer()
}

// blob files bytes under their digest.
func (t tree) blob(mediaType string, text []byte) descriptor {
	sum := sha256.Sum256(text)
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(text)}
	t[blobPath(d.Digest)] = entry{0o644, bytes.Clone(text)}
	return d
}

func (t tree) object(mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	return t.blob(mediaType, text), err
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }
