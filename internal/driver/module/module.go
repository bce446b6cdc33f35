// Package module loads kernel modules that the kernel doesn't load by itself when they are needed: br_netfilter,
// and fou6 for GUE in IPv6. No modprobe is run. A module is no row: it stays, since others may use it by now.
package module

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Loader loads modules of the running kernel, and tells which it has.
type Loader struct {
	lib  string // /lib/modules/<release>
	sys  string // /sys/module
	proc string // /proc/sys/kernel
	init func(path string) error
}

// New makes a Loader. The modules' files are looked for below /lib/modules.
func New() (*Loader, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	return &Loader{lib: filepath.Join("/lib/modules", release), sys: "/sys/module", proc: "/proc/sys/kernel", init: insert}, nil
}

// Load loads a module and what it depends on. One that is loaded or built in is fine.
func (l *Loader) Load(name string) error {
	if l.present(name) {
		return nil
	}
	line, err := l.find("modules.dep", name)
	if err != nil {
		return fmt.Errorf("load module %s: %w", name, err)
	}
	// "a.ko: b.ko c.ko": a needs b, and b needs c.
	files := strings.Fields(strings.Replace(line, ":", " ", 1))
	slices.Reverse(files)
	for _, f := range files {
		if err := l.init(filepath.Join(l.lib, f)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %s: %w", name, f, err)
		}
	}
	return nil
}

// Safe is true where using what a module brings loads nothing: the module is loaded or built in, or this kernel loads no
// modules on request (CONFIG_MODULES=n, kernel.modules_disabled=1, or kernel.modprobe empty).
func (l *Loader) Safe(name string) bool { return l.present(name) || !l.loads() }

// Has is true where the kernel has the module, loaded or not. The error says why that can't be told here: nobody mounted
// the modules' folder.
func (l *Loader) Has(name string) (bool, error) {
	if l.present(name) {
		return true, nil
	}
	if _, err := os.Stat(filepath.Join(l.lib, "modules.dep")); err != nil {
		return false, fmt.Errorf("the kernel's list of modules can't be read: %w", err)
	}
	_, err := l.find("modules.dep", name)
	return err == nil, nil
}

// present is true for a module that is loaded or built in.
func (l *Loader) present(name string) bool {
	if _, err := os.Stat(filepath.Join(l.sys, name)); err == nil {
		return true
	}
	_, err := l.find("modules.builtin", name)
	return err == nil
}

// loads is true where the kernel runs a modprobe for what it lacks.
func (l *Loader) loads() bool {
	program, err := os.ReadFile(filepath.Join(l.proc, "modprobe"))
	if err != nil || len(bytes.TrimSpace(program)) == 0 {
		return false
	}
	off, err := os.ReadFile(filepath.Join(l.proc, "modules_disabled"))
	return err != nil || string(bytes.TrimSpace(off)) != "1"
}

// find finds a module's line in one of depmod's lists.
func (l *Loader) find(list, name string) (string, error) {
	f, err := os.Open(filepath.Join(l.lib, list))
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		path, _, _ := strings.Cut(lines.Text(), ":")
		file, _, _ := strings.Cut(filepath.Base(path), ".")
		if strings.ReplaceAll(file, "-", "_") == name {
			return lines.Text(), nil
		}
	}
	return "", errors.Join(lines.Err(), errors.New("this kernel doesn't have it"))
}

// compressed is MODULE_INIT_COMPRESSED_FILE (Linux 5.17): the kernel unpacks the file itself.
const compressed = 4

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if filepath.Ext(path) == ".ko" {
		return unix.FinitModule(int(f.Fd()), "", 0)
	}
	err = unix.FinitModule(int(f.Fd()), "", compressed)
	if err == nil || errors.Is(err, unix.EEXIST) || filepath.Ext(path) != ".gz" {
		return err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	image, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return unix.InitModule(image, "")
}
