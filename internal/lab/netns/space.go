// Package netns makes the lab's hosts out of kernel namespaces: a Space is a network namespace that functions run in, a Machine is a
// Space with processes, mounts and a host name of its own, kept alive by a small holder process. It speaks system calls and
// rtnetlink only and runs no tool. It knows nothing of Kubernetes.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is where named network namespaces live, as ip-netns(8) has it, so that "ip netns exec" finds them.
const Dir = "/run/netns"

// Space is one network namespace, held open.
type Space struct {
	file *os.File
}

// New makes a network namespace without a name; it lives as long as the Space is open or something is in it.
func New() (*Space, error) {
	var s *Space
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var err error
		s, err = Open("/proc/thread-self/ns/net")
		return err
	})
	return s, err
}

// Open opens the network namespace that a file stands for.
func Open(path string) (*Space, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return &Space{f}, nil
}

// Fd is the namespace's file descriptor, owned by the Space.
func (s *Space) Fd() int { return int(s.file.Fd()) }

// Close lets go of the namespace.
func (s *Space) Close() error { return s.file.Close() }

// Inode identifies the namespace among all of this machine's.
func (s *Space) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.Fd(), &st); err != nil {
		return 0, fmt.Errorf("network namespace: %w", err)
	}
	return st.Ino, nil
}

// Do runs f in the namespace, on a thread that nothing else uses meanwhile. Sockets that f opens belong to the namespace for their
// whole life; goroutines that f starts do not.
func (s *Space) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("own network namespace: %w", err)
	}
	defer unix.Close(home)
	if err := unix.Setns(s.Fd(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() {
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread is spoilt: it stays locked and dies with its goroutine
		}
	}()
	return f()
}

// Name gives the namespace a name below Dir.
func (s *Space) Name(name string) error {
	if err := prepareDir(); err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	return s.Pin(filepath.Join(Dir, name))
}

// prepareDir makes Dir, and a mount of its own there, as ip-netns(8) does before its first namespace. If that came later, Dir would be
// bound over itself, and pins below could never be removed: a mount that nobody can reach would hold them. The lock is ip's own.
func prepareDir() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", Dir, err)
	}
	share := func() error { return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err = share(); errors.Is(err, unix.EINVAL) { // no mount yet
		if err = unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", Dir, err)
	}
	return nil
}

// Pin binds the namespace to a file that it makes, in the mount namespace of the calling thread, so that others can open it there.
// It needs no /proc, which shows nothing of a thread whose PID namespace isn't the mount's.
func (s *Space) Pin(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	f.Close()
	tree, err := unix.OpenTree(s.Fd(), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err == nil {
		err = unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
		unix.Close(tree)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin network namespace to %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// Unpin undoes Pin; a pin that is not there is no error.
func Unpin(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}

// Names lists the named network namespaces that begin with prefix.
func Names(prefix string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// onThread runs f on a thread of its own that ends with f, for what can't be undone. It is never the process's first thread, whose
// namespaces are what /proc shows of the process.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}
