package sysctl

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netns"

	"kube-router/internal/row"
)

func TestAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sys", "net", "x")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := New(netns.None(), filepath.Join(dir, "state.json")).At(filepath.Join(dir, "sys"))
	want := row.Sysctl{Name: "net/x", Value: "1"}
	if err := d.Apply(context.Background(), []row.Change[string, row.Sysctl]{{Key: want.Key(), New: &want}}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "1\n" && string(text) != "1" {
		t.Errorf("%q, %v", text, err)
	}
}
