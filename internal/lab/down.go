package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
)

// own notes who runs the lab, for Down.
func (l *Lab) own() error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	pid := os.Getpid()
	began, err := startOf(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "owner"), fmt.Appendf(nil, "%d %s\n", pid, began), 0o644)
}

// Owner is the process id of the process that runs the lab of that name; 0 when none does.
func Owner(name string) int {
	text, err := os.ReadFile(filepath.Join(root, name, "owner"))
	if err != nil {
		return 0
	}
	var pid int
	var began string
	if _, err := fmt.Sscanf(string(text), "%d %s", &pid, &began); err != nil {
		return 0
	}
	if now, err := startOf(pid); err != nil || now != began {
		return 0 // that process is gone, whoever has its number now
	}
	return pid
}

// Running lists the labs of this machine, those included whose owner died or of which only network namespaces are left.
func Running() []string {
	var names []string
	entries, _ := os.ReadDir(root) // without it no lab has come far enough to have one
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	spaces, _ := netns.Names(spacePrefix)
	for _, s := range spaces {
		if name, _, ok := strings.Cut(strings.TrimPrefix(s, spacePrefix), "-"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Down takes down the lab of that name, whoever started it and whatever became of him: its owner is asked to close it, and what is left
// then is removed. It needs no record: all that a lab makes is found by the name of its network namespaces.
func Down(name string) error {
	if !nameForm.MatchString(name) {
		return badName(name)
	}
	if err := takeDown(name); err != nil {
		return err
	}
	if err := os.Remove(logPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	os.Remove(root) // if this was the last
	return nil
}

func takeDown(name string) error {
	if pid := Owner(name); pid != 0 {
		if pid == os.Getpid() {
			return fmt.Errorf("lab %s: this process runs it", name)
		}
		if err := finish(pid); err != nil {
			return fmt.Errorf("lab %s: %w", name, err)
		}
	}
	return sweep(name)
}

// finish ends the owner, gently at first.
func finish(pid int) error {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.Kill(pid, sig); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		for range 1000 {
			if !alive(pid) {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// sweep removes what a lab leaves: first whatever runs in its network namespaces, then their names, then its directory.
func sweep(name string) error {
	names, err := netns.Names(prefixOf(name))
	if err != nil {
		return err
	}
	inodes := map[uint64]bool{}
	for _, n := range names {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(netns.Dir, n), &st) == nil {
			inodes[st.Ino] = true
		}
	}
	err = evict(inodes)
	for _, n := range names {
		err = errors.Join(err, netns.Unpin(filepath.Join(netns.Dir, n)))
	}
	err = errors.Join(err, os.RemoveAll(filepath.Join(root, name)))
	os.Remove(root) // if this was the last
	return err
}

// evict kills every process in the network namespaces, machines' holders among them, and waits until they are gone.
func evict(inodes map[uint64]bool) error {
	for range 3000 {
		pids, err := inside(inodes)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL) // gone already is as good
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("processes in the lab's namespaces do not end")
}

func inside(inodes map[uint64]bool) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", e.Name(), "ns/net"), &st) == nil && inodes[st.Ino] && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// alive is true for a process that isn't a zombie, waiting for its parent to look.
func alive(pid int) bool {
	fields, err := statOf(pid)
	return err == nil && fields[0] != "Z" && fields[0] != "X"
}

// startOf is a process's start time in clock ticks since boot, which with its number identifies it.
func startOf(pid int) (string, error) {
	fields, err := statOf(pid)
	if err != nil {
		return "", err
	}
	return fields[19], nil
}

// statOf are the fields of /proc/PID/stat from the third, the state, on (proc(5)).
func statOf(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	name := strings.LastIndex(string(text), ") ") // the second field, in parentheses, may hold anything
	fields := strings.Fields(string(text)[name+1:])
	if name < 0 || len(fields) < 20 {
		return nil, fmt.Errorf("process %d: %w", pid, fs.ErrInvalid)
	}
	return fields, nil
}
