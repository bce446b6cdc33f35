// Package module loads kernel modules that the kernel doesn't load by itself when they are needed: br_netfilter,
// and fou6 for GUE in IPv6. No modprobe is run. A module is no row: it stays, since others may use it by now.
package module

import (
	"bufio"
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

// Loader loads modules of the running kernel.
type Loader struct {
	lib  string // /lib/modules/<release>
	sys  string // /sys/module
	init func(path string) error
}

// New makes a Loader. The modules' files are looked for below /lib/modules.
func New() (*Loader, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	return &Loader{lib: filepath.Join("/lib/modules", release), sys: "/sys/module", init: insert}, nil
}

// Load loads a module and what it depends on. One that is loaded or built in is fine.
func (l *Loader) Load(name string) error {
	if _, err := os.Stat(filepath.Join(l.sys, name)); err == nil {
		return nil
	}
	if _, err := l.find("modules.builtin", name); err == nil {
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
