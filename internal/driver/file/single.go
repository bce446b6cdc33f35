package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kube-router/internal/row"
)

// The first guide of kube-router has people write 10-kuberouter.conf by hand, with one plugin and no range. Beside our
// .conflist, that name comes first, and runtimes take the first: it would count, and give no address. So what it says becomes the
// plugin of the .conflist, which counts alone then; the file itself is laid beside under a hidden name, and comes back with
// cleanup.

// single is the file whose name comes before ours, or empty where ours holds a single plugin itself.
func (d *Driver) single() string {
	if name, ok := strings.CutSuffix(d.path, ".conflist"); ok {
		return name + ".conf"
	}
	return ""
}

// readSingle reads that file; nil: there is none.
func (d *Driver) readSingle() ([]byte, error) {
	if d.single() == "" {
		return nil, nil
	}
	text, err := os.ReadFile(d.single())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// adopt gives the list with the single plugin as the one that gives addresses. A file with a list in it, under the wrong name,
// takes the place of the list.
func adopt(c row.Conflist, list, single []byte) ([]byte, error) {
	var plugin object
	if err := json.Unmarshal(single, &plugin); err != nil {
		return nil, fmt.Errorf("it is not JSON; fix or remove it: %w", err)
	}
	if _, ok := plugin["plugins"]; ok {
		return single, nil
	}
	if ipam(plugin)["type"] != "host-local" {
		return nil, errors.New("it does not use host-local for its addresses; while it is there it counts, not ours")
	}
	file := object{}
	if json.Unmarshal(list, &file) != nil || file["plugins"] == nil {
		file = fresh(c)
	}
	for _, key := range []string{"name", "cniVersion"} {
		if v, ok := plugin[key].(string); ok && v != "" {
			file[key] = v
		}
		delete(plugin, key)
	}
	delete(plugin, noteKey)
	chain, _ := file["plugins"].([]any)
	chain = unfold(chain)
	first := slices.IndexFunc(chain, func(p any) bool { return ipam(p)["type"] == "host-local" && !isWait(p) })
	if first < 0 {
		return nil, errors.New("no plugin of the list uses host-local")
	}
	chain[first] = plugin
	file["plugins"] = chain
	return json.Marshal(file)
}

// hidden is the name under which a file of somebody else's is kept until cleanup.
func hidden(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".before-kube-router")
}

// putBack brings a file of somebody else's back, unless there is a newer one of its name.
func putBack(path string) error {
	if path == "" {
		return nil
	}
	err := os.Link(hidden(path), path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Remove(hidden(path))
}
