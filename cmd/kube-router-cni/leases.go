package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/podlink"
)

// free gives back the addresses that host-local's store holds for containers which are not among the valid ones: it has no GC of its own.
func free(c *conf, valid []model.Name, now time.Time) error {
	dir, err := podlink.Folder(c.DataDir, c.Name)
	if err != nil {
		return nil // no network of ours has such a name
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l, err := podlink.Open(c.DataDir, c.Name)
	if err != nil {
		return err
	}
	defer l.Close()
	_, _, err = l.Sweep(now, func(o podlink.Owner) bool {
		return slices.ContainsFunc(valid, func(v model.Name) bool {
			// Leases of old versions name no interface.
			return v.Namespace == o.Container && (v.Name == o.Ifname || o.Ifname == "")
		})
	})
	return err
}

// grace is how long a node stays ready for pods when its daemon doesn't answer. Kubelet makes of this answer the Node's readiness, and the
// cluster takes the pods of a node that isn't ready out of Services: an update of the daemon must not do that, while the kernel
// goes on and an ADD waits.
const grace = 2 * time.Minute

// wasReady tells whether the node is ready: its daemon says so now, or said so a moment ago, in this run of the node. The time of the last
// good answer is that of a file beside the socket.
func wasReady(socket string, now bool, at time.Time) bool {
	path := filepath.Join(filepath.Dir(socket), "was-ready")
	if now {
		if os.Chtimes(path, at, at) != nil {
			// Without the file an update of the daemon is seen as such; nothing else is lost.
			_ = os.WriteFile(path, nil, 0o600)
		}
		return true
	}
	info, err := os.Stat(path)
	return err == nil && at.Sub(info.ModTime()) < grace
}
