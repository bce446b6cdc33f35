package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "image"), filepath.Join(dir, "host", "bin")
	for _, p := range []string{"bridge", "host-local", "kube-router-cni"} {
		write(t, filepath.Join(from, p), "new "+p)
	}
	write(t, filepath.Join(from, "folder", "x"), "not a plugin")
	write(t, filepath.Join(to, "bridge"), "the host's")
	write(t, filepath.Join(to, "kube-router-cni"), "old")

	done, err := install(from, to)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bridge: the host's own is kept", "host-local: installed", "kube-router-cni: installed"}
	if d := cmp.Diff(want, done); d != "" {
		t.Error(d)
	}
	have := map[string]string{}
	files, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(to, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		have[f.Name()] = string(text)
	}
	files2 := map[string]string{"bridge": "the host's", "host-local": "new host-local", "kube-router-cni": "new kube-router-cni"}
	if d := cmp.Diff(files2, have); d != "" {
		t.Errorf("the host's folder (-want +have):\n%s", d)
	}
	if info, err := os.Stat(filepath.Join(to, "host-local")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("host-local: %v %v", info, err)
	}
	if done, _ := install(from, to); done[2] != "kube-router-cni: is there" {
		t.Errorf("a second time: %q", done)
	}
}

func TestInstallFaults(t *testing.T) {
	dir := t.TempDir()
	if _, err := install(filepath.Join(dir, "none"), dir); err == nil {
		t.Error("an image without plugins is accepted")
	}
	from, to := filepath.Join(dir, "image"), filepath.Join(dir, "host")
	write(t, filepath.Join(from, "a"), "a")
	write(t, filepath.Join(from, "b"), "b")
	if err := os.MkdirAll(filepath.Join(to, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	done, err := install(from, to)
	if err == nil || len(done) != 1 {
		t.Errorf("one plugin that can't be placed must not stop the others: %q, %v", done, err)
	}
}
