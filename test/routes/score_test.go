//go:build routes || guest

package routes

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"
)

// verdict is one case judged.
type verdict struct {
	group, name, note string
	err               error
}

// score collects the verdicts of a run.
type score struct {
	mu   sync.Mutex
	list []verdict
}

// judge notes a case; err nil is a pass.
func (s *score) judge(t testing.TB, group, name string, err error, note string, args ...any) {
	t.Helper()
	s.mu.Lock()
	s.list = append(s.list, verdict{group, name, fmt.Sprintf(note, args...), err})
	s.mu.Unlock()
	if err != nil {
		t.Errorf("%s: %s: %v", group, name, err)
	}
}

// report prints the cases in the order in which they were judged, and the counts. It is false when one failed or none was judged.
func (s *score) report(w io.Writer, title string) bool {
	failed, group := 0, ""
	for _, v := range s.list {
		if v.group != group {
			group = v.group
			fmt.Fprintf(w, "\n%s\n", group)
		}
		mark := "ok    "
		if v.err != nil {
			failed++
			mark, v.note = "FAILED", v.err.Error()
		}
		fmt.Fprintf(w, "  %s  %-62s  %s\n", mark, v.name, v.note)
	}
	fmt.Fprintf(w, "\n%s: %d passed, %d failed\n", title, len(s.list)-failed, failed)
	return failed == 0 && len(s.list) > 0
}

// round makes a time readable.
func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
