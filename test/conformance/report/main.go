// Command report turns the suite's own record of a run into a list of results, and all lists into
// docs/conformance.md. It prints the run's figures, and fails where a spec failed or none ran.
//
//	go run ./test/conformance/report -junit DIR -name dual-full -title "..."
//
// Without -junit it only writes the page anew.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var (
		junit   = flag.String("junit", "", "folder with the run's junit files")
		all     = flag.String("list", "", "file with the names of all specs of the suite, one a line")
		skip    = flag.String("skip", "", "file with modes, expressions and reasons of specs that a run leaves out")
		modes   = flag.String("modes", "", "what this run is, in words of that file, separated by commas")
		name    = flag.String("name", "", "name of the run's list")
		title   = flag.String("title", "", "what the run was, for people")
		results = flag.String("results", "test/conformance/results", "folder with the lists of all runs")
		doc     = flag.String("doc", "docs/conformance.md", "file to write from all lists")
		partial = flag.Bool("partial", false, "print figures only: the run was of chosen specs")
		again   = flag.Bool("again", false, "the run was of specs that had failed: put them into the list that is there")
	)
	flag.Parse()
	if *junit == "" { // the page alone
		if err := document(*results, *doc); err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(2)
		}
		return
	}
	ok, err := report(run{*junit, *all, *skip, *modes, *name, *title, *again}, *results, *doc, *partial)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run says where the record of a run is and what the run was.
type run struct {
	junit, all, skip, modes, name, title string
	again                                bool
}

func report(r run, results, doc string, partial bool) (bool, error) {
	l := list{title: r.title}
	if err := l.read(r); err != nil {
		return false, err
	}
	if r.again {
		first, err := parse(filepath.Join(results, r.name+".tsv"))
		if err != nil {
			return false, err
		}
		l = first.again(l)
	}
	if !partial {
		if err := os.WriteFile(filepath.Join(results, r.name+".tsv"), []byte(l.String()), 0o644); err != nil {
			return false, err
		}
		if err := document(results, doc); err != nil {
			return false, err
		}
	}
	for _, s := range l.specs {
		if s.verdict == failed {
			fmt.Println("failed:", s.name)
		}
	}
	n := l.count()
	fmt.Printf("conformance: %d passed, %d failed, %d skipped\n", n[passed], n[failed], n[skipped])
	return n[failed] == 0 && n[passed] > 0, nil
}
