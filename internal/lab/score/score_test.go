package score

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quiet is a test whose failures don't count.
type quiet struct {
	testing.TB
	failures int
}

func (*quiet) Helper() {}

func (q *quiet) Errorf(string, ...any) { q.failures++ }

func TestReport(t *testing.T) {
	var s Score
	var b strings.Builder
	if s.Report(&b, "nothing") {
		t.Error("a run without cases is well")
	}
	q := &quiet{}
	s.Judge(q, "speed", "fast", nil, "%d ms", 3)
	s.Row("policies", []string{"case", "saw"})
	s.Row("policies", []string{"Local", "web-1"})
	s.Judge(q, "policies", "Local, inside", nil, "")
	s.Judge(q, "speed", "slower than that", errors.New("5 s"), "")
	b.Reset()
	if s.Report(&b, "all") || q.failures != 1 {
		t.Errorf("a run with a failure is well; %d failures told", q.failures)
	}
	want := `
speed: 1 of 2
  ok      fast              3 ms
  FAILED  slower than that  5 s

policies: 1 of 1
case   saw
Local  web-1

all: 2 passed, 1 failed
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
}
