package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// pluginsVersion is the release of the CNI reference plugins that go.mod pins.
const pluginsVersion = "v1.9.1"

func pluginPackages() []string {
	const module = "github.com/containernetworking/plugins/plugins/"
	return []string{
		module + "main/bridge", module + "main/loopback", module + "ipam/host-local",
		module + "meta/portmap", module + "meta/bandwidth", module + "meta/tuning",
	}
}

// plugins finds the CNI reference plugins or builds them, once per machine: inside this module's tree with its pinned checksums, outside
// of it from the module proxy at the same version.
func (l *Lab) plugins(ctx context.Context) error {
	if l.config.Plugins != "" {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	dir := filepath.Join(cache, "kube-router-lab", "cni-"+pluginsVersion+"-"+runtime.GOARCH)
	l.config.Plugins = dir
	if complete(dir) {
		return nil
	}
	if err = os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("plugin cache: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "building-") // another lab may be building too
	if err != nil {
		return fmt.Errorf("plugin cache: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := buildPlugins(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil && !complete(dir) {
		return errors.Join(err, os.RemoveAll(dir), os.Rename(fresh, dir))
	}
	return nil
}

func complete(dir string) bool {
	for _, p := range pluginPackages() {
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(p))); err != nil {
			return false
		}
	}
	return true
}

func buildPlugins(ctx context.Context, dir string) error {
	modules, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	args := append([]string{"build", "-trimpath", "-o", dir + "/"}, pluginPackages()...)
	if err != nil || !bytes.Equal(bytes.TrimSpace(modules), []byte("kube-router")) {
		args = []string{"install", "-trimpath"}
		for _, p := range pluginPackages() {
			args = append(args, p+"@"+pluginsVersion)
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the CNI plugins with Go (or name a directory that has them): %w\n%s", err, out)
	}
	return nil
}
