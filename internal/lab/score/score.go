// Package score counts what a suite of tests judged, and prints it for people and for scripts.
package score

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Score collects the verdicts of a run. The zero Score is ready; it may be used by several tests at a time.
type Score struct {
	mu    sync.Mutex
	list  []verdict
	table map[string][][]string // by group
}

// verdict is one case judged.
type verdict struct {
	group, name, note string
	err               error
}

// Judge notes a case of a group; err nil is a pass. The note, as of fmt.Sprintf, says what was seen.
func (s *Score) Judge(t testing.TB, group, name string, err error, note string, args ...any) {
	t.Helper()
	s.Add(group, name, err, note, args...)
	if err != nil {
		t.Errorf("%s: %s: %v", group, name, err)
	}
}

// Add notes a case that is judged outside of any test, such as after the last.
func (s *Score) Add(group, name string, err error, note string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, verdict{group, name, fmt.Sprintf(note, args...), err})
}

// Row adds a line to a group's table, which stands for those of its cases that passed.
func (s *Score) Row(group string, cells []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table == nil {
		s.table = map[string][][]string{}
	}
	s.table[group] = append(s.table[group], cells)
}

// Report prints every group, in the order in which they began, and "TITLE: N passed, M failed" as the last line, which
// scripts read. It is false when a case failed or none was judged.
func (s *Score) Report(w io.Writer, title string) bool {
	var groups []string
	failed := 0
	for _, v := range s.list {
		if !slices.Contains(groups, v.group) {
			groups = append(groups, v.group)
		}
		if v.err != nil {
			failed++
		}
	}
	for _, g := range groups {
		s.group(w, g)
	}
	fmt.Fprintf(w, "\n%s: %d passed, %d failed\n", title, len(s.list)-failed, failed)
	return failed == 0 && len(s.list) > 0
}

func (s *Score) group(w io.Writer, name string) {
	all, passed := 0, 0
	var lines [][]string
	for _, v := range s.list {
		if v.group != name {
			continue
		}
		all++
		switch {
		case v.err != nil:
			lines = append(lines, []string{"  FAILED", v.name, v.err.Error()})
			continue
		case s.table[name] == nil || v.note != "":
			lines = append(lines, []string{"  ok", v.name, v.note})
		}
		passed++
	}
	fmt.Fprintf(w, "\n%s: %d of %d\n", name, passed, all)
	align(w, s.table[name])
	align(w, lines)
}

// align prints cells in columns.
func align(w io.Writer, rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(c))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			fmt.Fprintf(&line, "%-*s  ", width[i], c)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
