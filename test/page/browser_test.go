//go:build page

package page

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// finding is a line of what a script in the browser judged.
type finding struct {
	Group, Name, Note, Error string
}

// browse runs a script that drives the browser, with its words, and judges what it found. The script prints a finding a line, and ends with "done".
func browse(ctx context.Context, t *testing.T, script string, words ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, words...)...)
	cmd.Env = append(os.Environ(), "SHOTS="+os.Getenv("KUBE_ROUTER_SHOTS"))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f finding
		switch text := lines.Text(); {
		case text == "done":
			done = true
		case json.Unmarshal([]byte(text), &f) != nil:
			t.Log(text)
		case f.Error != "":
			scoring.Judge(t, f.Group, f.Name, errors.New(f.Error), "")
		default:
			t.Logf("%s: %s %s", f.Group, f.Name, f.Note)
			scoring.Judge(t, f.Group, f.Name, nil, "%s", f.Note)
		}
	}
	if err := cmd.Wait(); err != nil || !done {
		scoring.Judge(t, script, "runs to its end", errors.New(strings.TrimSpace("it ended early: "+said.String())), "")
	}
}
