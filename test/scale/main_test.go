//go:build scale

package scale

import (
	"os"
	"testing"

	"kube-router/internal/lab/labtest"
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) { os.Exit(labtest.Run(m, &programs)) }
