package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Hierarchy finds the cgroup2 hierarchy at a folder, or below it where version 1 has the folder and systemd put version 2 beside.
func Hierarchy(root string) (string, error) {
	for _, at := range []string{root, filepath.Join(root, "unified")} {
		var about unix.Statfs_t
		if err := unix.Statfs(at, &about); err == nil && about.Type == unix.CGROUP2_SUPER_MAGIC {
			return at, nil
		}
	}
	return "", fmt.Errorf("--cgroup-root %s is no cgroup2 hierarchy (mount -t cgroup2 none FOLDER makes one, beside version 1 too)", root)
}

// Whole tells whether a cgroup is the root of the hierarchy. What is below serves what is below alone: a container that has its own view of
// /sys/fs/cgroup sees itself there.
func Whole(cgroup string) bool {
	_, err := os.Stat(filepath.Join(cgroup, "cgroup.type")) // every cgroup but the root has it
	return errors.Is(err, os.ErrNotExist)
}

// Try finds out whether the programs can be loaded and attached here, by doing so for a moment with maps that are empty: whoever connects
// meanwhile is not changed. Nothing is left.
func Try(o Options) error {
	k := newPins(o)
	var at unix.Statfs_t
	if err := unix.Statfs(o.Root, &at); err != nil {
		return fmt.Errorf("--bpf-root %s: %w", o.Root, err)
	}
	if at.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("--bpf-root %s is no BPF file system (mount -t bpf bpf %s)", o.Root, o.Root)
	}
	if _, err := Cookie(); err != nil {
		return err
	}
	maps := map[string]*ebpf.Map{}
	defer func() {
		for _, m := range maps {
			_ = m.Close()
		}
	}()
	for _, name := range mapNames() {
		spec := specOf(name)
		spec.MaxEntries = min(spec.MaxEntries, 1)
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return fmt.Errorf("make an eBPF map: %w", err)
		}
		maps[name] = m
	}
	for hook, code := range Programs() {
		for name, m := range maps {
			_ = code.AssociateMap(name, m) // not every program reads every map
		}
		if err := k.try(row.BpfProgram{Hook: hook, Target: o.Cgroup, Tag: "try"}, code); err != nil {
			return err
		}
	}
	return nil
}
