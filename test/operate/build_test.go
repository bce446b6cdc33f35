//go:build !guest

package operate

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// program builds the program as it is now.
func program(dir string) (string, error) {
	path := filepath.Join(dir, "kube-router")
	if text, err := exec.Command("go", "build", "-o", path, "../../cmd/kube-router").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kube-router: %w\n%s", err, text)
	}
	return path, nil
}
