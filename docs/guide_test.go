// Package docs checks that the documents say what the program does: tables of flags and annotations are
// made from the program's own, and everything that a document names exists.
package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/config"
	"kube-router/internal/watch/kube"
)

var update = flag.Bool("update", false, "write the generated parts of the guide anew")

const guide = "user-guide.md"

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// annotations is the guide's table of annotations.
func annotations() string {
	var b strings.Builder
	kind := ""
	for _, a := range kube.Annotations() {
		if string(a.Kind) != kind {
			kind = string(a.Kind)
			fmt.Fprintf(&b, "\n### On a %s\n\n| annotation | value | effect |\n|---|---|---|\n", kind)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Key, a.Value, a.Doc)
	}
	return b.String()
}

// TestGeneratedParts compares what stands between the marks with what the program says.
func TestGeneratedParts(t *testing.T) {
	have := text(t, guide)
	want := have
	for part, made := range map[string]string{
		"flags": config.Markdown(), "annotations": annotations(), "differences": config.Differences(),
	} {
		begin, end := "<!-- "+part+": made by `go test ./docs -update` -->\n", "<!-- end of "+part+" -->\n"
		before, rest, ok := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("the marks of %s are missing", part)
		}
		want = before + begin + made + "\n" + end + after
	}
	if *update {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("the guide is not what the program says (go test ./docs -update):\n%s", d)
	}
}

// TestNamedManifests: every manifest that the guide names exists, and it names all of them.
func TestNamedManifests(t *testing.T) {
	all := text(t, guide)
	for _, m := range regexp.MustCompile(`deploy/[-a-z/]+(\.yaml|\.json)?`).FindAllString(all, -1) {
		if _, err := os.Stat(filepath.Join("..", m)); err != nil && m != "deploy/" {
			t.Error(err)
		}
	}
	manifests, err := filepath.Glob("../deploy/rendered/*.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, m := range manifests {
		if name := strings.TrimSuffix(filepath.Base(m), ".yaml"); !strings.Contains(all, "| `"+name+"` |") {
			t.Errorf("the guide doesn't tell about the manifest %s", name)
		}
	}
}
