//go:build page

package page

import (
	"os"
	"testing"

	"kube-router/internal/lab"
	"kube-router/internal/lab/score"
)

// scoring is what this run judged.
var scoring = &score.Score{}

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(lab.Suite(func(dir string) int {
		programs = dir
		code := m.Run()
		if !scoring.Report(os.Stdout, "page") && code == 0 {
			code = 1
		}
		return code
	}))
}
