package podlink

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Records are where it is written who lives.
type Records struct {
	Root     string // where the host's files are seen: empty, or /proc/1/root
	Attached string // the folder of the daemon's attachments, as the process sees it
	Sure     bool   // a folder of network namespaces that isn't there is none, and not hidden from this process
}

// Lives tells whether an owner may still be there: its cable is, or some record names a network namespace that is. A runtime
// writes its record once ADD has succeeded, so an owner without one has never come to life, or has left.
func (r Records) Lives(o Owner) bool {
	if there, err := linked(o); there || err != nil {
		return true
	}
	if r.says(filepath.Join(r.Attached, o.Container+"@"+o.Ifname+".json")) {
		return true
	}
	// Docker's runtime keeps its records in a folder of its own.
	folders := 0
	for _, dir := range []string{"/var/lib/cni/results", "/var/lib/cni/cache/results"} {
		cache := filepath.Join(r.Root, dir)
		if _, err := os.Stat(cache); err != nil {
			continue
		}
		folders++
		if r.says(filepath.Join(cache, o.Network+"-"+o.Container+"-"+o.Ifname)) {
			return true
		}
	}
	return folders == 0 // where no runtime keeps records, nothing is known
}

// says tells whether by a record its network namespace may be there. What can't be read says nothing against it.
func (r Records) says(path string) bool {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var record struct {
		Netns string `json:"netns"`
	}
	if err != nil || json.Unmarshal(text, &record) != nil || record.Netns == "" {
		return true
	}
	netns := filepath.Join(r.Root, record.Netns)
	if _, err := os.Stat(filepath.Dir(netns)); err != nil && !r.Sure {
		return true
	}
	_, err = os.Stat(netns)
	return !errors.Is(err, fs.ErrNotExist)
}

// FreeAtStart frees what nobody has any more of the addresses of a network, as the daemon sees the host: itself, or through process 1
// where a container shares the host's processes. Where the leases aren't seen nothing is done; the first ADD after the node's start does it then.
func FreeAtStart(dataDir, network, attached string, now time.Time) (int, error) {
	for _, root := range []string{"", "/proc/1/root"} {
		dir, err := Folder(dataDir, network)
		if err != nil {
			return 0, err
		}
		dir = filepath.Join(root, dir)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		l, err := Open(filepath.Dir(dir), network)
		if err != nil {
			return 0, err
		}
		defer l.Close()
		freed, _, err := l.Sweep(now, Records{Root: root, Attached: attached, Sure: root != ""}.Lives)
		return freed, err
	}
	return 0, nil
}
