//go:build addresses

package addresses

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/score"
)

// world is the lab of one test.
type world struct {
	*lab.Lab
	ctx context.Context
}

var (
	scoring  = &score.Score{}
	programs string // the directory of our programs
)

func TestMain(m *testing.M) {
	os.Exit(labtest.RunScored(m, &programs, scoring, "addresses with "+labtest.Engine()))
}

// start brings up a lab for one test, and takes it down after it. Daemons get the engine of the run.
func start(t *testing.T, c lab.Config) *world {
	t.Helper()
	c.DaemonArgs = append([]string{"--service-proxy-engine=" + labtest.Engine()}, c.DaemonArgs...)
	l, ctx := labtest.Start(t, 8*time.Minute, programs, c)
	return &world{Lab: l, ctx: ctx}
}

// judge notes a case of the test; an empty complaint is a pass.
func judge(t *testing.T, name, complaint string) {
	t.Helper()
	var err error
	if complaint != "" {
		err = fmt.Errorf("%s", complaint)
	}
	scoring.Judge(t, t.Name(), name, err, "")
}
