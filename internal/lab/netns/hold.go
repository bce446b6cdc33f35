package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const ready = "ready\n"

// HoldArgs are the arguments with which the running program is started again as a machine's holder.
func HoldArgs(name, dir string) []string { return []string{"lab", "hold", name, dir} }

// Hold is the life of a machine's init: it arranges the mounts, says that it is ready, reaps what others leave behind, and ends
// with its owner. It is called in fresh namespaces, as process 1.
func Hold(name, dir string) error {
	if os.Getpid() != 1 {
		return errors.New("hold: not the first process of a PID namespace; this command is for the lab's own use")
	}
	if err := furnish(name, dir); err != nil {
		fmt.Printf("%v\n", err)
		return err
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	fmt.Print(ready)
	owner := make(chan struct{})
	go func() {
		defer close(owner)
		io.Copy(io.Discard, os.Stdin)
	}()
	for {
		select {
		case <-children:
			reap()
		case <-owner:
			return nil
		}
	}
}

// reap collects processes whose parents are gone.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// furnish gives the machine its own view of the file system. Directories that programs write to as root are overlays, so that
// nothing reaches the real ones; /run and the CNI configuration are plain directories below dir, so that the owner sees them.
func furnish(name, dir string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := forgetSpaces(); err != nil {
		return err
	}
	scratch := filepath.Join(dir, "scratch") // in memory, for an overlay can't write onto another overlay, as in a container
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return fmt.Errorf("machine's scratch: %w", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("machine's scratch: %w", err)
	}
	for _, path := range []string{"/etc", "/opt", "/var/lib"} {
		if err := overlay(path, filepath.Join(scratch, strings.ReplaceAll(path[1:], "/", "-"))); err != nil {
			return err
		}
	}
	for _, m := range []struct{ from, to string }{{"cni", "/etc/cni/net.d"}, {"run", "/run"}} {
		if err := bind(filepath.Join(dir, m.from), m.to); err != nil {
			return err
		}
	}
	if err := errors.Join(prepareDir(), os.MkdirAll("/run/lock", 0o755)); err != nil {
		return fmt.Errorf("machine's /run: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return control()
}

// control gives the machine the file systems through which eBPF is reached: one for its pins alone, and the hierarchy of control groups,
// which a kernel has once. What is attached there sees the sockets of all machines; network namespaces tell them apart.
func control() error {
	for _, m := range []struct{ kind, at string }{{"cgroup2", "/sys/fs/cgroup"}, {"bpf", "/sys/fs/bpf"}} {
		err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) { // a kernel without
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// forgetSpaces drops the copies of other namespaces' pins that came along with the mounts: they would keep those alive.
func forgetSpaces() error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // proc(5): the fifth is the mount point, the type follows the dash
		if len(fields) > 4 && strings.Contains(lines.Text(), " - nsfs ") {
			// A pin that can't be seen under its name lies below another mount, or its name is gone: in a lab beside ours with a private /run, for instance.
			err := unix.Unmount(fields[4], unix.MNT_DETACH)
			if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("forget %s: %w", fields[4], err)
			}
		}
	}
	return lines.Err()
}

func overlay(path, dir string) error {
	if _, err := os.Stat(path); err != nil {
		return nil // this host has no such directory, so nobody can write to it either
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return fmt.Errorf("overlay of %s: %w", path, err)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", path, upper, work)
	if err := unix.Mount("overlay", path, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay of %s: %w", path, err)
	}
	return nil
}

func bind(from, to string) error {
	if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(to, 0o755)); err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	return nil
}
