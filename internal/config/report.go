package config

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Check is the text of `kube-router config check`: every setting in force with where it was said, then
// remarks and faults, and how many faults there are: the daemon starts with none.
func (r *Raw) Check(env func(string) string, readFile func(string) ([]byte, error)) (string, int) {
	d := r.draft(env, readFile)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\tFROM")
	for _, s := range d.Said {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.From)
	}
	_ = w.Flush() // a strings.Builder takes everything
	fmt.Fprintf(&b, "\nnode %s, CNI file %s\n", d.Settings.Node, d.Settings.CNI.File)
	for _, s := range d.Remarks {
		fmt.Fprintf(&b, "remark: %s\n", s)
	}
	for _, err := range d.faults {
		fmt.Fprintf(&b, "fault: %s\n", err)
	}
	fmt.Fprintf(&b, "%s, %s\n", count(len(d.faults), "fault"), count(len(d.Remarks), "remark"))
	return b.String(), len(d.faults)
}

// count is a number of things in words: "1 fault", "2 faults".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// shown is a value as text, "-" for none.
func shown(f *Flag, s said) string {
	if f.Secret && s.source != "" {
		return "(secret)"
	}
	if f.List() {
		return orElse(strings.Join(s.texts, ","), "-")
	}
	return orElse(s.texts[len(s.texts)-1], "-")
}

// Markdown is the guide's table of all flags, by group. Flags that kube-router v2.11 doesn't know carry
// a plus sign.
func Markdown() string {
	var b strings.Builder
	group := ""
	for _, f := range Table() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n### %s\n\n| flag | type | default | meaning |\n|---|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", markdownName(&f), f.Type, markdownDefault(&f), strings.ReplaceAll(f.Usage, "|", "\\|"))
	}
	return b.String()
}

func markdownName(f *Flag) string {
	name := "`--" + f.Name + "`"
	if f.Short != "" {
		name += ", `-" + f.Short + "`"
	}
	if f.Ours {
		name += " +"
	}
	return name
}

func markdownDefault(f *Flag) string {
	switch {
	case f.Default == "" && f.List():
		return "none"
	case f.Default == "":
		return "empty"
	}
	return "`" + f.Default + "`"
}

// Differences is the guide's table of flags that are not, on purpose, as in kube-router v2.11.
func Differences() string {
	var b strings.Builder
	b.WriteString("\n| flag | what differs |\n|---|---|\n")
	for _, f := range Table() {
		if f.Differs != "" {
			fmt.Fprintf(&b, "| `--%s` | %s |\n", f.Name, f.Differs)
		}
	}
	return b.String()
}
