package labtest

import (
	"os"
	"testing"

	"kube-router/internal/lab"
	"kube-router/internal/lab/score"
)

// Run runs a suite's tests once our programs are ready, whose directory it puts into programs. It returns what the process is to exit with.
func Run(m *testing.M, programs *string) int {
	return lab.Suite(func(dir string) int {
		*programs = dir
		return m.Run()
	})
}

// RunScored is Run for a suite that judges cases: it prints them in the end, below a title, and fails if one failed.
func RunScored(m *testing.M, programs *string, scoring *score.Score, title string) int {
	return lab.Suite(func(dir string) int {
		*programs = dir
		code := m.Run()
		if !scoring.Report(os.Stdout, title) && code == 0 {
			code = 1
		}
		return code
	})
}

// Engine is the engine that carries the Services of a run: the environment variable KUBE_ROUTER_SERVICE_ENGINE chooses another than nftables.
func Engine() string {
	if e := os.Getenv("KUBE_ROUTER_SERVICE_ENGINE"); e != "" {
		return e
	}
	return "nftables"
}
