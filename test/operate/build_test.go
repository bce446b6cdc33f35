//go:build !guest

package operate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// program builds the program as it is now.
func program(dir string) (string, error) {
	path := filepath.Join(dir, "kube-router")
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/kube-router")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the image
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kube-router: %w\n%s", err, text)
	}
	return path, nil
}
