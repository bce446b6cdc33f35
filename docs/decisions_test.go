package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const decisionsHead = `# Decisions

Where building taught us better than the first design, or where a choice would surprise a newcomer, a page says what was asked,
what was decided, why, and what it costs. This list is made by ` + "`go test ./docs -update`" + `. Code that a decision explains names its number.

| | decision |
|---|---|
`

// decisions is the list of decisions, from the first line of each page: "# NUMBER Title".
func decisions(t *testing.T) string {
	t.Helper()
	pages, err := filepath.Glob("decisions/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	list := decisionsHead
	for _, page := range pages {
		title, _, _ := strings.Cut(text(t, page), "\n")
		name := filepath.Base(page)
		number, title, _ := strings.Cut(strings.TrimPrefix(title, "# "), " ")
		if !strings.HasPrefix(name, number+"-") || title == "" {
			t.Errorf("%s: its first line is to be \"# %s Title\"", page, name[:4])
		}
		list += fmt.Sprintf("| [%s](%s) | %s |\n", number, name, title)
	}
	return list
}

// TestDecisionsAreListed compares the list of decisions with the pages.
func TestDecisionsAreListed(t *testing.T) {
	const file = "decisions/README.md"
	want := decisions(t)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, text(t, file)); diff != "" {
		t.Errorf("%s is not what the pages say; go test ./docs -update\n%s", file, diff)
	}
}

// TestCitedDecisionsExist follows every "decision NNNN" in a comment of the code to its page.
func TestCitedDecisionsExist(t *testing.T) {
	cited := regexp.MustCompile(`[Dd]ecisions? (\d{4})`)
	for _, dir := range []string{"../internal", "../cmd", "../test"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			for _, m := range cited.FindAllStringSubmatch(text(t, path), -1) {
				if pages, _ := filepath.Glob("decisions/" + m[1] + "-*.md"); len(pages) != 1 {
					t.Errorf("%s names decision %s, which has %d pages", path, m[1], len(pages))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
