package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/model"
)

// young is how old a lease must be to be freed: the specification has no ADD run beside a GC, a runtime may all the same.
const young = time.Minute

// leases is where host-local keeps the addresses of our network (its dataDir is the default one, which our list doesn't change).
func leases(c *conf) string {
	dir := c.DataDir
	if dir == "" {
		dir = "/var/lib/cni/networks"
	}
	if c.Name == "" || c.Name != filepath.Base(c.Name) {
		return ""
	}
	return filepath.Join(dir, c.Name)
}

// free gives back the addresses that host-local holds for containers which are not among the valid ones: it has no GC of its own. The
// lock is the one that host-local takes.
func free(dir string, valid []model.Name, now time.Time) error {
	list, err := os.ReadDir(dir)
	if dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	var bad error
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		// host-local writes the colons of an IPv6 address as they are; other files are none of its leases.
		if _, err := netip.ParseAddr(e.Name()); err != nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < young {
			continue
		}
		text, err := os.ReadFile(path)
		id, ifname, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		owner := model.Name{Namespace: strings.TrimSpace(id), Name: strings.TrimSpace(ifname)}
		if err != nil || slices.ContainsFunc(valid, func(v model.Name) bool {
			return v == owner || owner.Name == "" && v.Namespace == owner.Namespace // leases of old versions name no interface
		}) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			bad = errors.Join(bad, err)
		}
	}
	return bad
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
