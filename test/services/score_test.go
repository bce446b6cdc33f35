//go:build services

package services

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// verdict is one case judged.
type verdict struct {
	group, name, note string
	err               error
}

// score collects the verdicts of a run.
type score struct {
	mu    sync.Mutex
	list  []verdict
	table [][]string
}

// judge notes a case; err nil is a pass.
func (s *score) judge(t *testing.T, group, name string, err error, note string, args ...any) {
	t.Helper()
	v := verdict{group, name, fmt.Sprintf(note, args...), err}
	s.mu.Lock()
	s.list = append(s.list, v)
	s.mu.Unlock()
	if err != nil {
		t.Errorf("%s: %s: %v", group, name, err)
	}
}

// row adds a line to the table of traffic policies.
func (s *score) row(cells []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = append(s.table, cells)
}

// report prints the table, every other case, and the counts. It is false when a case failed or none was judged.
func (s *score) report(w io.Writer, title string) bool {
	fmt.Fprintf(w, "\n%s\n", title)
	align(w, s.table)
	failed := 0
	groups := map[string][]verdict{}
	var order []string
	for _, v := range s.list {
		if groups[v.group] == nil {
			order = append(order, v.group)
		}
		groups[v.group] = append(groups[v.group], v)
	}
	for _, g := range order {
		bad := slices.DeleteFunc(slices.Clone(groups[g]), func(v verdict) bool { return v.err == nil })
		failed += len(bad)
		fmt.Fprintf(w, "\n%s: %d of %d\n", g, len(groups[g])-len(bad), len(groups[g]))
		for _, v := range groups[g] {
			switch {
			case v.err != nil:
				fmt.Fprintf(w, "  FAILED  %s: %v\n", v.name, v.err)
			case v.note != "":
				fmt.Fprintf(w, "  ok      %s: %s\n", v.name, v.note)
			case g != tableGroup:
				fmt.Fprintf(w, "  ok      %s\n", v.name)
			}
		}
	}
	fmt.Fprintf(w, "\n%s: %d passed, %d failed\n", title, len(s.list)-failed, failed)
	return failed == 0 && len(s.list) > 0
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
