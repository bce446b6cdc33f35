// Command plugin packs the kubectl plugin for krew: an archive for each operating system and architecture, with the licence in it, and the manifest
// kuberouter.yaml that names them with their checksums. The same sources give the same archives.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// platform is one system that the plugin is built for.
type platform struct{ os, arch string }

func platforms() []platform {
	return []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}
}

// file is one file of an archive.
type file struct {
	name string
	mode int64
	text []byte
}

func main() {
	version := flag.String("version", "development", "version of the plugin, such as v3.0.0")
	out := flag.String("o", "bin/plugin", "directory for the archives and the manifest")
	url := flag.String("url", "https://example.invalid/releases", "where the archives will be downloaded from, without the last slash")
	flag.Parse()
	if err := pack(*version, *out, *url, platforms()); err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

func pack(version, out, url string, all []platform) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	licence, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	m := manifest{Version: "v" + strings.TrimPrefix(version, "v")}
	for _, p := range all {
		program, err := build(p, version)
		if err != nil {
			return err
		}
		files := []file{{"LICENSE", 0o644, licence}, {p.program(), 0o755, program}}
		name := fmt.Sprintf("kubectl-kuberouter-%s-%s-%s%s", version, p.os, p.arch, p.ending())
		text, err := archive(p, files)
		if err == nil {
			err = os.WriteFile(filepath.Join(out, name), text, 0o644)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Platforms = append(m.Platforms, source{p.os, p.arch, url + "/" + name, fmt.Sprintf("%x", sha256.Sum256(text)), p.program()})
	}
	var text bytes.Buffer
	if err := form.Execute(&text, m); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "kuberouter.yaml"), text.Bytes(), 0o644)
}

func (p platform) program() string {
	if p.os == "windows" {
		return "kubectl-kuberouter.exe"
	}
	return "kubectl-kuberouter"
}

func (p platform) ending() string {
	if p.os == "windows" {
		return ".zip"
	}
	return ".tar.gz"
}

func build(p platform, version string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "kubectl-kuberouter-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, p.program())
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/kubectl-kuberouter")
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build for %s/%s: %w\n%s", p.os, p.arch, err, said)
	}
	return os.ReadFile(path)
}

// archive packs the files as krew takes them: zip for Windows, else tar.gz; without times, so that it depends on its content only.
func archive(p platform, files []file) ([]byte, error) {
	var b bytes.Buffer
	var err error
	if p.os == "windows" {
		w := zip.NewWriter(&b)
		for _, f := range files {
			var to io.Writer
			if to, err = w.Create(f.name); err == nil {
				_, err = to.Write(f.text)
			}
			if err != nil {
				return nil, err
			}
		}
		err = w.Close()
		return b.Bytes(), err
	}
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		err = w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(f.text)
		}
		if err != nil {
			return nil, err
		}
	}
	if err = w.Close(); err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}

// manifest is krew's description of a plugin.
type manifest struct {
	Version   string // with a v
	Platforms []source
}

// source is one archive of it.
type source struct{ OS, Arch, URI, SHA256, Bin string }

var form = template.Must(template.New("manifest").Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: kuberouter
spec:
  version: {{.Version}}
  shortDescription: Look into kube-router on all nodes
  description: |
    Asks kube-router on all nodes from one place, through the API server and with
    your own rights: which nodes are unwell and why, BGP sessions, why a
    connection is allowed or refused.
  platforms:
{{- range .Platforms}}
  - selector:
      matchLabels: {os: {{.OS}}, arch: {{.Arch}}}
    uri: {{.URI}}
    sha256: {{.SHA256}}
    bin: {{.Bin}}
    files:
    - {from: {{.Bin}}, to: .}
    - {from: LICENSE, to: .}
{{- end}}
`))
