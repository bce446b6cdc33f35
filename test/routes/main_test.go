//go:build routes || guest

package routes

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"kube-router/internal/lab"
)

// scoring is what this run judged.
var scoring = &score{}

func TestMain(m *testing.M) {
	os.Exit(lab.Main(func() int {
		code := m.Run()
		if !scoring.report(os.Stdout, "routes on "+place) && code == 0 {
			code = 1
		}
		return code
	}))
}

// programs builds the binaries as a user gets them. An environment variable names a directory where they are ready.
var programs = sync.OnceValues(func() (string, error) {
	if ready := os.Getenv("KUBE_ROUTER_PROGRAMS"); ready != "" {
		return ready, nil
	}
	dir, err := os.MkdirTemp("", "kube-router-test-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "../../cmd/kube-router", "../../cmd/kube-router-cni")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})
