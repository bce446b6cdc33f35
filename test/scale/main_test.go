//go:build scale

package scale

import (
	"os"
	"testing"

	"kube-router/internal/lab"
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(lab.Suite(func(dir string) int {
		programs = dir
		return m.Run()
	}))
}
