package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Flag describes one flag: what the usage, the file and the guide say about it.
type Flag struct {
	Name    string
	Short   string // one letter, or empty
	Type    string // as pflag prints it; "strings", "ipSlice" and "uints" are lists
	Default string // as text; empty for an empty list
	Usage   string // one sentence or two, without the default
	Differs string // in what it is not as in kube-router v2.11, on purpose; empty: in nothing
	Group   string // the heading under which the guide lists it
	Ours    bool   // not known to kube-router v2.11
	Secret  bool   // its value is never printed
	Process bool   // about one run of the program: may not stand in the file
	read    reader
}

// List tells whether the flag takes several values, by commas or by repetition.
func (f *Flag) List() bool { return f.Type == "strings" || f.Type == "ipSlice" || f.Type == "uints" }

// Raw is what was said on the command line, not yet judged.
type Raw struct {
	words map[string]*words
	old   []string // flags of the first releases that were given
}

// words are the texts given for one flag. It is the pflag.Value of the flag; Set accepts everything, so
// that Options can report all faults together instead of the first one.
type words struct {
	flag  *Flag
	given []string
}

// Set remembers one use of the flag.
func (w *words) Set(s string) error {
	w.given = append(w.given, s)
	return nil
}

// Type names the flag's type in usage texts; cobra looks for "bool" at --help.
func (w *words) Type() string { return w.flag.Type }

// String is the value in force as text; a secret is not told.
func (w *words) String() string {
	switch {
	case len(w.given) == 0:
		return w.flag.Default
	case w.flag.Secret:
		return "(secret)"
	case w.flag.List():
		return strings.Join(w.given, ",")
	}
	return w.given[len(w.given)-1]
}

// Flags registers every flag on a set and returns where their values will be.
func Flags(set *pflag.FlagSet) *Raw {
	r := &Raw{words: map[string]*words{}}
	for _, f := range Table() {
		w := &words{flag: &f}
		r.words[f.Name] = w
		p := set.VarPF(w, f.Name, f.Short, f.Usage)
		if f.Type == "bool" {
			p.NoOptDefVal = "true"
		}
	}
	r.oldFlags(set)
	return r
}

// Act tells what the command line asks for, from its positional arguments and the effective user id.
// The order is the reference's: help, version and the positional check come before the root check.
func (r *Raw) Act(args []string, euid int) (Action, error) {
	switch {
	case r.on("help"):
		return ActHelp, nil
	case r.on("version"):
		return ActVersion, nil
	case len(args) > 0:
		return "", fmt.Errorf("unexpected argument %q: all settings are flags", args[0])
	case euid != 0:
		return "", errors.New("must run as root (effective user id 0): it writes the kernel's network tables")
	case r.on("cleanup-config"):
		return ActCleanup, nil
	}
	return ActRun, nil
}

// on tells whether a boolean flag was given as true. What is not a boolean counts as not given; Options
// names the fault.
func (r *Raw) on(name string) bool {
	v, err := boolean(r.words[name].String())
	return err == nil && v
}

// split cuts one use of a list flag at its commas, with the quoting of CSV as pflag does.
func split(s string) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	c := csv.NewReader(strings.NewReader(s))
	list, err := c.Read()
	if err != nil {
		return nil, errors.New("not a list separated by commas")
	}
	if _, err := c.Read(); err == nil {
		return nil, errors.New("a list of several lines")
	}
	return list, nil
}
