package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const record = `<testsuites><testsuite>
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"></testcase>
<testcase name="[It] [sig-network] A works [Conformance]" status="passed" time="2.5"></testcase>
<testcase name="[It] [sig-network] B works" status="failed" time="3"><failure message="no"></failure></testcase>
<testcase name="[It] [sig-network] C was filtered" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
<testcase name="[It] [sig-network] D wants six nodes" status="skipped" time="0"><skipped message="skipped - too few nodes"></skipped></testcase>
<testcase name="[SynchronizedAfterSuite]" status="timedout" time="1"></testcase>
</testsuite></testsuites>`

const reasons = "# comment\nall\tfiltered\tleft out\nipv4\tE \tanother run's reason\n"

// write makes a file in a folder of the test's own.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "junit_01.xml", record)
	r := run{junit: dir, modes: "full,dual", name: "x", title: "a run"}
	r.skip = write(t, dir, "skip", reasons)
	r.all = write(t, dir, "list", "[sig-network] A works [Conformance]\n[sig-network] C was filtered\n[sig-network] E is nowhere\n")
	doc := filepath.Join(dir, "doc.md")
	ok, err := report(r, dir, doc, false)
	if ok || err != nil {
		t.Fatalf("a run with failures: %v %v", ok, err)
	}
	kept, err := parse(filepath.Join(dir, "x.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	want := `# a run
failed	1.0	[SynchronizedAfterSuite]	
passed	2.5	[sig-network] A works [Conformance]	
failed	3.0	[sig-network] B works	
skipped	0.0	[sig-network] C was filtered	left out
skipped	0.0	[sig-network] D wants six nodes	too few nodes
skipped	0.0	[sig-network] E is nowhere	left to other runs: this one takes what its mode is about
`
	if d := cmp.Diff(want, kept.String()); d != "" {
		t.Error(d)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"| a run | 1 | 2 | 3 |\n", "| a run | 1 of 1 | none ran |"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("%s is missing in\n%s", line, text)
		}
	}
}

func TestFailedSpecsRunAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.tsv", "# a run\npassed\t1.0\t[sig-network] A works [Conformance]\t\nfailed\t1.0\t[sig-network] B works\t\n")
	r := run{junit: dir, name: "x", title: "another", again: true, skip: write(t, dir, "skip", reasons)}
	r.all = write(t, dir, "list", "[sig-network] A works [Conformance]\n[sig-network] B works\n")
	write(t, dir, "junit_01.xml", `<testsuites><testsuite>
<testcase name="[It] [sig-network] B works" status="passed" time="3"></testcase></testsuite></testsuites>`)
	if ok, err := report(r, dir, filepath.Join(dir, "doc.md"), false); !ok || err != nil {
		t.Fatalf("%v %v", ok, err)
	}
	kept, err := parse(filepath.Join(dir, "x.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	want := "# a run\npassed\t1.0\t[sig-network] A works [Conformance]\t\npassed\t3.0\t[sig-network] B works\tin a second run\n"
	if d := cmp.Diff(want, kept.String()); d != "" {
		t.Error(d)
	}
}

func TestARunOfNothingFails(t *testing.T) {
	dir := t.TempDir()
	r := run{junit: dir, skip: write(t, dir, "skip", reasons), all: write(t, dir, "list", "[sig-network] A\n")}
	if ok, err := report(r, dir, "", true); ok || err != nil {
		t.Errorf("ok %v, error %v", ok, err)
	}
}
