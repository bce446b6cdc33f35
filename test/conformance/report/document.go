package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const preface = `# What Kubernetes' own tests say

Written by ` + "`make conformance`" + ` (test/conformance/run) from the lists in test/conformance/results; not by hand.
The suite is the upstream ` + "`[sig-network]`" + ` end-to-end suite of the Kubernetes version named with each run, on a cluster of
real kubelets and containerd in namespaces of one machine, where kube-router comes by its own manifest and image.
How to run it, what it builds and what it can't do is in ` + "`test/conformance/README.md`" + `.

`

// document writes all lists for people: figures of every run, then what failed, what didn't run and why, and times.
func document(results, file string) error {
	names, err := filepath.Glob(filepath.Join(results, "*.tsv"))
	if err != nil {
		return err
	}
	var figures, kinds, details bytes.Buffer
	for _, name := range names {
		l, err := parse(name)
		if err != nil {
			return err
		}
		n := l.count()
		fmt.Fprintf(&figures, "| %s | %d | %d | %d |\n", l.title, n[passed], n[failed], n[skipped])
		l.kinds(&kinds)
		l.details(&details)
	}
	text := preface + "| run | passed | failed | skipped |\n|---|---|---|---|\n" + figures.String() +
		"\nOf each kind of specs, how many passed of those that ran:\n\n| run |"
	for _, k := range kindsOfSpecs {
		text += " " + k.title + " |"
	}
	text += "\n|---" + strings.Repeat("|---", len(kindsOfSpecs)) + "|\n" + kinds.String() + life(results) + details.String()
	return os.WriteFile(file, []byte(text), 0o644)
}

// life is what the last life of a cluster printed.
func life(results string) string {
	text, err := os.ReadFile(filepath.Join(results, "life.txt"))
	if err != nil {
		return "" // none was lived here yet
	}
	return "\n## The life of a cluster\n\n`test/conformance/run --life`: on every node a pod asks a Service all the time, over new connections and over one that it " +
		"holds, in both families, while this happens. A request may fail only to a pod that was just killed; a held connection may break only with its server.\n\n```\n" +
		string(text) + "```\n"
}

// kindsOfSpecs are those that people ask for; a spec may be of several kinds.
var kindsOfSpecs = [...]struct{ title, match string }{
	{"`[Conformance]`", `\[Conformance\]`},
	{"NetworkPolicy", `Netpol`},
	{"Services", `\[sig-network\] (Services|Networking Granular Checks: Services|Conntrack|Service endpoints|KubeProxy)`},
	{"session affinity", `affinity`},
	{"DNS", `\bDNS\b`},
	{"HostPort", `HostPort`},
	{"dual stack", `Feature:IPv6DualStack`},
	{"EndpointSlice", `Endpoint(s|Slice)`},
}

// kinds writes a line of figures.
func (l *list) kinds(b *bytes.Buffer) {
	name, _, _ := strings.Cut(l.title, ":")
	fmt.Fprintf(b, "| %s |", name)
	for _, k := range kindsOfSpecs {
		match, n := regexp.MustCompile(k.match), map[verdict]int{}
		for _, s := range l.specs {
			if match.MatchString(s.name) {
				n[s.verdict]++
			}
		}
		if ran := n[passed] + n[failed]; ran > 0 {
			fmt.Fprintf(b, " %d of %d |", n[passed], ran)
		} else {
			b.WriteString(" none ran |")
		}
	}
	b.WriteByte('\n')
}

func (l *list) details(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n", l.title)
	l.table(b, "Failed", failed)
	reasons := map[string][]string{}
	for _, s := range l.specs {
		if s.verdict == skipped {
			reasons[s.reason] = append(reasons[s.reason], s.name)
		}
	}
	for _, reason := range sorted(reasons) {
		fmt.Fprintf(b, "<details><summary>Skipped, %d: %s</summary>\n\n", len(reasons[reason]), reason)
		for _, name := range reasons[reason] {
			fmt.Fprintf(b, "- %s\n", short(name))
		}
		b.WriteString("\n</details>\n\n")
	}
	l.table(b, "Passed", passed)
}

func (l *list) table(b *bytes.Buffer, title string, v verdict) {
	if l.count()[v] == 0 {
		return
	}
	fmt.Fprintf(b, "<details><summary>%s, %d</summary>\n\n| spec | seconds |\n|---|---|\n", title, l.count()[v])
	for _, s := range l.specs {
		if s.verdict == v {
			name := short(s.name)
			if s.reason != "" {
				name += " (" + s.reason + ")"
			}
			fmt.Fprintf(b, "| %s | %.1f |\n", name, s.seconds)
		}
	}
	b.WriteString("\n</details>\n\n")
}

// short leaves out what every name begins with.
func short(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(name, "[sig-network] "), "|", `\|`)
}

func sorted(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
