package script

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what the scripts give into them")

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := read(t, path)
			want := s.straight(t)
			for _, p := range plays(s)[1:] {
				t.Run(p.name, func(t *testing.T) { alike(t, p, want, perform(t, s, p)) })
			}
		})
	}
}

// straight plays the script as it stands and compares with its sections.
func (s *script) straight(t *testing.T) outcome {
	t.Helper()
	out := perform(t, s, plays(s)[0])
	have := s.sections(out)
	if *update {
		a := &txtar.Archive{Comment: s.input.Comment, Files: append(slices.Clip(s.input.Files), have...)}
		if err := os.WriteFile(s.path, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, f := range have {
		if d := cmp.Diff(s.expect[f.Name], string(f.Data)); d != "" {
			t.Errorf("%s, section %q (- expected, + came; -update if that is right):\n%s", s.path, f.Name, d)
		}
		delete(s.expect, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.expect)) {
		t.Errorf("%s: section %q did not come", s.path, name)
	}
	return out
}

// alike compares the end of a play with that of the straight one. Flows that live may be fewer: what was cut
// while an endpoint was away doesn't come back.
func alike(t *testing.T, p play, want, have outcome) {
	t.Helper()
	for _, f := range have.Kernel["flows"] {
		if !slices.Contains(want.Kernel["flows"], f) {
			t.Errorf("%s: the flow %s lives", p.name, f)
		}
	}
	a, b := flat(want), flat(have)
	if slices.Equal(a, b) {
		return
	}
	d := cmp.Diff(text(without(a, b)), text(without(b, a)))
	if d == "" {
		d = cmp.Diff(text(a), text(b)) // another order of the same lines
	}
	t.Errorf("%s ends otherwise than straight (- straight, + %s):\n%s\nthe play was:\n%s", p.name, p.name, d, story(p))
}

// flat is an outcome as lines, each with its section.
func flat(o outcome) []string {
	var list []string
	add := func(section string, lines []string) {
		for _, l := range lines {
			list = append(list, section+": "+l)
		}
	}
	add("intents", o.Intents)
	add("remarks", o.Remarks)
	for _, table := range slices.Sorted(maps.Keys(o.Rows)) {
		for _, l := range o.Rows[table] {
			add("rows "+table, []string{fmt.Sprintf("%s (have %t, foreign %t, error %q, for %q)", l.Row, l.Have, l.Foreign, l.Error, l.Owners)})
		}
	}
	for _, table := range slices.Sorted(maps.Keys(o.Kernel)) {
		if table != "flows" {
			add("kernel "+table, o.Kernel[table])
		}
	}
	return list
}

// without are the lines of a that are not in b.
func without(a, b []string) []string {
	in := map[string]bool{}
	for _, l := range b {
		in[l] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(l string) bool { return in[l] })
}

// text makes lines what cmp compares line by line.
func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

func story(p play) string {
	var b strings.Builder
	for _, e := range p.events {
		fmt.Fprintln(&b, " ", e)
	}
	return b.String()
}

// sections prints an outcome as the script expects it.
func (s *script) sections(o outcome) []txtar.File {
	var list []txtar.File
	add := func(name string, lines []string) {
		if len(lines) > 0 {
			list = append(list, txtar.File{Name: name, Data: []byte(strings.Join(lines, "\n") + "\n")})
		}
	}
	for _, e := range s.events {
		if e.look != "" {
			look := o.Looks[e.look]
			add("at "+e.look, slices.Concat(look[0], look[1]))
		}
	}
	add("intents", o.Intents)
	add("remarks", o.Remarks)
	for _, table := range tables() {
		add("rows "+table, s.rows(table, o))
	}
	add("kernel", s.kernel(o))
	return list
}

// tables are the tables in the order in which they are printed.
func tables() []string {
	return []string{"ipvs", "pods", "rtnl", "nft", "conntrack", "bpf", "health", "bgp", "sysctl", "cni"}
}

// shows tells whether a table is printed.
func (s *script) shows(table string) bool {
	only := false
	for name := range s.show {
		only = only || name != "skeleton"
	}
	return !only || s.show[table]
}

// static are the owners of rows that are the same whatever happens.
var static = []string{"services", "policy", "ipvs", "guard: Settings"}

// rows prints the rows of a table. Those not as wanted say so.
func (s *script) rows(table string, o outcome) []string {
	var good, bad []string
	fixed := map[string]bool{}
	for _, l := range o.Rows[table] {
		switch {
		case l.Error != "":
			bad = append(bad, "FAILS "+l.Row+": "+l.Error)
		case l.Foreign:
			bad = append(bad, "UNWANTED "+l.Row)
		case !l.Have:
			bad = append(bad, "MISSING "+l.Row)
		default:
			good = append(good, l.Row)
		}
		if len(l.Owners) == 1 && slices.Contains(static, l.Owners[0]) {
			fixed[l.Row] = !s.show["skeleton"]
		}
	}
	if table == "nft" {
		good = o.Kernel[table]
	}
	if !s.shows(table) {
		good = nil
	}
	return append(bad, slices.DeleteFunc(slices.Clone(good), func(l string) bool { return fixed[l] })...)
}

// kernel prints where the fake kernel's own dump differs from the rows, and what no row shows: the CNI file
// and the flows that live.
func (s *script) kernel(o outcome) []string {
	var lines []string
	for _, table := range []string{"ipvs", "pods", "rtnl", "nft", "bpf", "health", "bgp"} {
		wanted := map[string]bool{}
		for _, l := range o.Rows[table] {
			wanted[l.Row] = true
		}
		for _, r := range o.Kernel[table] {
			if !wanted[r] {
				lines = append(lines, table+" has "+r)
			}
		}
		if len(o.Kernel[table]) < len(wanted) {
			lines = append(lines, fmt.Sprintf("%s has %d rows of %d", table, len(o.Kernel[table]), len(wanted)))
		}
	}
	for _, f := range o.Kernel["flows"] {
		lines = append(lines, "flow "+f)
	}
	if s.shows("sysctl") {
		lines = append(lines, o.Kernel["sysctl"]...)
	}
	if s.shows("cni") {
		lines = append(lines, o.Kernel["cni"]...)
	}
	return lines
}
