package main

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type verdict string

const (
	passed  verdict = "passed"
	failed  verdict = "failed"
	skipped verdict = "skipped"
)

// spec is one line of a list: a spec of the suite, how it went, and why it was left out if it was.
type spec struct {
	verdict verdict
	seconds float64
	name    string
	reason  string
}

// list is what a run found.
type list struct {
	title string
	specs []spec
}

// junitFile is the part of the suite's record that we read; Ginkgo writes a test case for every spec there is.
type junitFile struct {
	Cases []struct {
		Name    string  `xml:"name,attr"`
		Status  string  `xml:"status,attr"`
		Time    float64 `xml:"time,attr"`
		Skipped *struct {
			Message string `xml:"message,attr"`
		} `xml:"skipped"`
	} `xml:"testsuite>testcase"`
}

// read takes the results of the specs that ran, and the reasons of those that didn't.
func (l *list) read(r run) error {
	ran := map[string]spec{}
	files, _ := filepath.Glob(filepath.Join(r.junit, "junit*.xml"))
	for _, file := range files {
		if err := readJUnit(file, ran); err != nil {
			return err
		}
	}
	why, err := readReasons(r.skip, r.modes)
	if err != nil {
		return err
	}
	err = lines(r.all, func(name string) error {
		if _, ok := ran[name]; !ok {
			ran[name] = spec{skipped, 0, name, why(name)}
		}
		return nil
	})
	for _, s := range ran {
		l.specs = append(l.specs, s)
	}
	slices.SortFunc(l.specs, func(a, b spec) int { return cmp.Compare(a.name, b.name) })
	return err
}

// readJUnit adds what ran. A spec that was filtered out says so without a reason of its own; one that found
// the cluster unfit for it says why.
func readJUnit(file string, ran map[string]spec) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var record junitFile
	if err := xml.Unmarshal(text, &record); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, c := range record.Cases {
		name, it := strings.CutPrefix(c.Name, "[It] ")
		s := spec{failed, c.Time, name, ""}
		switch c.Status {
		case "passed":
			s.verdict = passed
		case "skipped", "pending":
			if c.Skipped == nil || !strings.HasPrefix(c.Skipped.Message, "skipped - ") {
				continue
			}
			s.verdict, s.seconds, s.reason = skipped, 0, strings.TrimPrefix(c.Skipped.Message, "skipped - ")
		}
		if it || s.verdict == failed { // a failure before the first spec counts as well
			ran[name] = s
		}
	}
	return nil
}

// readReasons gives the reason for which a run leaves a spec out.
func readReasons(file, modes string) (func(string) string, error) {
	type rule struct {
		match  *regexp.Regexp
		reason string
	}
	var rules []rule
	err := lines(file, func(line string) error {
		part := strings.Split(line, "\t")
		if strings.HasPrefix(line, "#") || len(part) != 3 || !applies(part[0], modes) {
			return nil
		}
		match, err := regexp.Compile(part[1])
		rules = append(rules, rule{match, part[2]})
		return err
	})
	return func(name string) string {
		for _, r := range rules {
			if r.match.MatchString(name) {
				return r.reason
			}
		}
		return "left to other runs: this one takes what its mode is about"
	}, err
}

// again is a list after a second run of some of its specs; that they had one is told with them.
func (l list) again(second list) list {
	ran := map[string]spec{}
	for _, s := range second.specs {
		if s.verdict != skipped {
			s.reason = "in a second run"
			ran[s.name] = s
		}
	}
	merged := list{title: l.title}
	for _, s := range l.specs {
		if n, ok := ran[s.name]; ok {
			s = n
		}
		merged.specs = append(merged.specs, s)
	}
	return merged
}

func applies(to, modes string) bool {
	return slices.ContainsFunc(strings.Split(to, ","), func(m string) bool {
		return m == "all" || slices.Contains(strings.Split(modes, ","), m)
	})
}

func (l *list) count() map[verdict]int {
	n := map[verdict]int{}
	for _, s := range l.specs {
		n[s.verdict]++
	}
	return n
}

// String is the list as it is kept: a title and a line a spec.
func (l *list) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", l.title)
	for _, s := range l.specs {
		fmt.Fprintf(&b, "%s\t%.1f\t%s\t%s\n", s.verdict, s.seconds, s.name, s.reason)
	}
	return b.String()
}

// parse reads a list as String wrote it.
func parse(file string) (list, error) {
	var l list
	err := lines(file, func(line string) error {
		if title, ok := strings.CutPrefix(line, "# "); ok {
			l.title = title
			return nil
		}
		part := strings.Split(line, "\t")
		if len(part) != 4 {
			return fmt.Errorf("%s: %q has %d fields, not 4", file, line, len(part))
		}
		seconds, err := strconv.ParseFloat(part[1], 64)
		l.specs = append(l.specs, spec{verdict(part[0]), seconds, part[2], part[3]})
		return err
	})
	return l, err
}

// lines calls do with each line of a file that isn't empty.
func lines(file string, do func(string) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if s.Text() == "" {
			continue
		}
		if err := do(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}
