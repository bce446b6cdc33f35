//go:build flows

package flows

import (
	"os"
	"testing"

	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/score"
)

// scoring is what this run judged.
var scoring = &score.Score{}

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) { os.Exit(labtest.RunScored(m, &programs, scoring, "flows")) }
