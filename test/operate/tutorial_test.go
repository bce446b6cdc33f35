//go:build !guest

package operate

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is one block of commands of a document, and what it says that they print.
type step struct {
	line    int
	script  string
	printed []string
}

// steps reads the blocks marked sh, each with the block marked text that follows it, if any.
func steps(text string) []step {
	var list []step
	var block []string
	kind := ""
	for i, line := range strings.Split(text, "\n") {
		mark, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && kind == "":
			kind, block = mark+"?", nil
		case fence:
			switch {
			case kind == "sh?":
				list = append(list, step{line: i - len(block) + 1, script: strings.Join(block, "\n")})
			case kind == "text?" && len(list) > 0:
				list[len(list)-1].printed = block
			}
			kind = ""
		case kind != "":
			block = append(block, line)
		}
	}
	return list
}

// pattern is a line of the document: … stands for anything.
func pattern(line string) *regexp.Regexp {
	parts := strings.Split(line, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?m)^" + strings.Join(parts, ".*") + `\s*$`)
}

func TestSteps(t *testing.T) {
	list := steps("a\n```sh\nx\ny\n```\n\n```text\none…two\n```\n```sh\nz\n```\n```yaml\nno\n```\n")
	if len(list) != 2 || list[0].script != "x\ny" || list[0].line != 3 || len(list[0].printed) != 1 || list[1].printed != nil {
		t.Errorf("%+v", list)
	}
	if p := pattern("one…(two"); !p.MatchString("zero\none and (two  \n") || p.MatchString("one and two") || p.MatchString("xone(two") {
		t.Error("pattern")
	}
}

// TestTutorial runs docs/tutorial.md as written, in one shell, and compares what is printed.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	list := steps(string(text))
	if len(list) < 10 {
		t.Fatalf("only %d steps in the tutorial", len(list))
	}
	// Whatever happens, the lab goes; one left by an earlier run as well.
	down := func() { _ = exec.Command("../../bin/kube-router", "lab", "down", "--name", "tutorial").Run() }
	down()
	t.Cleanup(down)
	var script strings.Builder
	script.WriteString("cd ../..\nset -eo pipefail\n")
	for i, s := range list {
		fmt.Fprintf(&script, "echo '@@@ step %d'\n%s\n", i, s.script)
	}
	script.WriteString("echo '@@@ done'\n")
	begin := time.Now()
	out, err := exec.Command("bash", "-c", script.String()).CombinedOutput()
	parts := regexp.MustCompile(`(?m)^.*@@@ (step \d+|done)\n`).Split(string(out), -1)[1:]
	if err != nil || len(parts) != len(list)+1 {
		n := min(max(len(parts)-1, 0), len(list)-1)
		t.Fatalf("tutorial.md:%d: %v\n%s\n--- printed:\n%s", list[n].line, err, list[n].script, out)
	}
	for i, s := range list {
		for _, line := range s.printed {
			if !pattern(line).MatchString(parts[i]) {
				t.Errorf("tutorial.md:%d: nothing printed is like %q:\n%s", s.line, line, parts[i])
			}
		}
	}
	t.Logf("%d steps in %s", len(list), time.Since(begin).Round(time.Second))
}
