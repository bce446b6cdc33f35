package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kube-router/internal/lab"
)

// What is wrong with the flags or the manifests is said before anything is made.
func TestLabRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nodes", "0"}, "--nodes=0: want at least 1"},
		{[]string{"--nodes", "-3"}, "--nodes=-3: want at least 1"},
		{[]string{"--zones", "0"}, "--zones=0: want at least 1"},
		{[]string{"--mtu", "0"}, "--mtu=0: want at least 1"},
		{[]string{"--mtu", "500"}, "MTU 500"},
		{[]string{"--nodes", "200"}, "200 nodes"},
		{[]string{"--topology", "ring"}, `topology "ring"`},
		{[]string{"--name", "../x"}, `name "../x"`},
		{[]string{"--manifest", file("text", "kind: [")}, "did not find expected node content"},
		{[]string{"--manifest", file("kind", "kind: Ingress\napiVersion: networking.k8s.io/v1\nmetadata: {name: i}")}, `the lab has no kind "Ingress"`},
		{[]string{"--manifest", filepath.Join(dir, "none")}, "no such file"},
	} {
		for _, command := range []string{"up", "demo"} {
			cmd := labCommand()
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			cmd.SetArgs(append([]string{command, "--name", "refused"}, c.args...))
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("lab %s %v: %v, want %q", command, c.args, err, c.says)
			}
		}
	}
	for _, name := range lab.Running() {
		if name == "refused" {
			t.Error("a lab was made")
		}
	}
}
