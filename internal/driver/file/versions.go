package file

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"reflect"
)

// A runtime calls STATUS and GC of plugins where the configuration is of CNI 1.1. The list that we write says 1.0.0 and, beside it,
// cniVersions with both: libcni takes the highest that it knows, and one before 1.2 (containerd 1.x) doesn't read it. A plugin
// that doesn't know the version it is called with refuses to connect a pod. So 1.1.0 is offered only where the build information of every
// plugin of the list says that it is made with a library that knows it.

const (
	baseVersion = "1.0.0"
	library     = "github.com/containernetworking/cni" // knows 1.1.0 since v1.2.0
)

// PluginDirs are where the host's plugins are: as the manifests mount them, and on the host itself.
func PluginDirs() []string { return []string{"/host/opt/cni/bin", "/opt/cni/bin"} }

// offer puts the versions into a list, or takes them out. A list of another version is the user's own.
func (d *Driver) offer(file object) {
	chain, _ := file["plugins"].([]any)
	both := []any{baseVersion, "1.1.0"}
	said, there := file["cniVersions"]
	switch {
	case file["cniVersion"] != baseVersion, there && !reflect.DeepEqual(said, both), len(chain) == 0:
	case d.allKnow(chain):
		file["cniVersions"] = both
	default:
		delete(file, "cniVersions")
	}
}

// allKnow tells whether every plugin of a chain, and what gives addresses, knows CNI 1.1.
func (d *Driver) allKnow(chain []any) bool {
	for _, p := range chain {
		o, _ := p.(object)
		for _, name := range []any{o["type"], ipam(p)["type"]} {
			if name != nil && !d.knows(fmt.Sprint(name)) {
				return false
			}
		}
	}
	return true
}

func (d *Driver) knows(plugin string) bool {
	if plugin != filepath.Base(plugin) {
		return false
	}
	for _, dir := range d.plugins {
		info, err := buildinfo.ReadFile(filepath.Join(dir, plugin))
		if err != nil {
			continue
		}
		for _, m := range info.Deps {
			var major, minor int
			if n, _ := fmt.Sscanf(m.Version, "v%d.%d.", &major, &minor); m.Path == library && n == 2 {
				return major > 1 || major == 1 && minor >= 2
			}
		}
		return false
	}
	return false
}
