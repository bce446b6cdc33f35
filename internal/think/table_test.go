package think

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kube-router/internal/model"
)

var update = flag.Bool("update", false, "write the change table into ARCHITECTURE.md")

const architecture = "../../ARCHITECTURE.md"

// constants are the values of all constants of a type in a Go file, in their order.
func constants(t *testing.T, path, of string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != of {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

// TestTheChangeTableIsComplete: a kind of the model that the table doesn't name would change nothing, and a stage that no
// kind touches would be planned once.
func TestTheChangeTableIsComplete(t *testing.T) {
	kinds, stages := constants(t, "../model/name.go", "Kind"), constants(t, "stage.go", "ID")
	if len(kinds) < 12 || len(stages) < 10 {
		t.Fatalf("found %d kinds and %d stages only", len(kinds), len(stages))
	}
	for _, k := range kinds {
		if _, ok := flow[model.Kind(k)]; !ok {
			t.Errorf("kind %s is not in the table", k)
		}
	}
	touchedBy := map[ID]int{}
	for k, row := range flow {
		if !slices.Contains(kinds, string(k)) {
			t.Errorf("%s is no kind of the model", k)
		}
		for id, entry := range row {
			touchedBy[id]++
			if !slices.Contains(stages, string(id)) {
				t.Errorf("%s: %s is no stage", k, id)
			}
			if entry.what == "" {
				t.Errorf("%s, %s: what is planned anew?", k, id)
			}
			if entry.find == nil && id != Policy {
				t.Errorf("%s, %s: finds nothing", k, id)
			}
		}
	}
	for _, id := range stages {
		if touchedBy[ID(id)] == 0 {
			t.Errorf("nothing touches stage %s", id)
		}
	}
}

// TestArchitectureShowsTheChangeTable holds the page to what flow.go says.
func TestArchitectureShowsTheChangeTable(t *testing.T) {
	const begin, end = "<!-- flow: begin -->\n", "<!-- flow: end -->\n"
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", architecture)
	}
	want := table(t)
	if old == want {
		return
	}
	if !*update {
		t.Fatalf("the change table of %s is not that of flow.go; go test ./internal/think -update\nhave:\n%s\nwant:\n%s", architecture, old, want)
	}
	if err := os.WriteFile(architecture, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table prints the change table: a row a kind, in the order of the model's kinds, with its stages in theirs.
func table(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| changed | is planned anew |\n|---|---|\n")
	stages := constants(t, "stage.go", "ID")
	for _, kind := range constants(t, "../model/name.go", "Kind") {
		row := flow[model.Kind(kind)]
		ids := slices.SortedFunc(maps.Keys(row), func(a, b ID) int { return slices.Index(stages, string(a)) - slices.Index(stages, string(b)) })
		var cells []string
		for _, id := range ids {
			cells = append(cells, fmt.Sprintf("**%s**: %s", id, row[id].what))
		}
		if len(cells) == 0 {
			cells = []string{"nothing"}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", kind, strings.Join(cells, "<br>"))
	}
	return b.String()
}
