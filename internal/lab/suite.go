package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Suite is Main for a test program whose tests run our programs: run gets the directory where kube-router, kube-router-cni and kubectl-kuberouter are. They
// are built from this module's tree, as a user gets them, and removed afterwards, unless the environment variable KUBE_ROUTER_PROGRAMS
// names a directory where they are ready.
func Suite(run func(programs string) int) int {
	return Main(func() int {
		if ready := os.Getenv("KUBE_ROUTER_PROGRAMS"); ready != "" {
			return run(ready)
		}
		dir, err := os.MkdirTemp("", "kube-router-programs-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return run(dir)
	})
}

func build(dir string) error {
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "kube-router/cmd/kube-router", "kube-router/cmd/kube-router-cni", "kube-router/cmd/kubectl-kuberouter")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}
