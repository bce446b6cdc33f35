// Command cni-install copies CNI plugins from the image to the host, so that an init container needs no
// shell. A plugin that the host has already stays as it is, unless it is ours: those follow the image.
// A plugin is replaced by renaming, so a runtime that starts one never sees half a file.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	from := flag.String("from", "/opt/cni/bin", "folder with the plugins of the image")
	to := flag.String("to", "/host/opt/cni/bin", "folder of the host that gets them")
	flag.Parse()
	done, err := install(*from, *to)
	for _, line := range done {
		fmt.Println(line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cni-install:", err)
		os.Exit(1)
	}
}

// ours are the plugins that belong to one version of the daemon.
func ours() []string { return []string{"kube-router-cni"} }

// install copies every file of a folder and tells what it did with each.
func install(from, to string) (done []string, err error) {
	plugins, err := os.ReadDir(from)
	if err != nil {
		return nil, fmt.Errorf("reading the image's plugins: %w", err)
	}
	if err = os.MkdirAll(to, 0o755); err != nil {
		return nil, fmt.Errorf("making the host's plugin folder: %w", err)
	}
	for _, p := range plugins {
		if !p.Type().IsRegular() {
			continue
		}
		what, e := place(filepath.Join(from, p.Name()), filepath.Join(to, p.Name()))
		if e != nil {
			err = errors.Join(err, fmt.Errorf("plugin %s: %w", p.Name(), e))
			continue
		}
		done = append(done, p.Name()+": "+what)
	}
	return done, err
}

// place puts one plugin where it belongs and says what that took.
func place(from, to string) (string, error) {
	have, err := os.ReadFile(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	there := err == nil
	if there && !slices.Contains(ours(), filepath.Base(to)) {
		return "the host's own is kept", nil
	}
	want, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	if there && bytes.Equal(want, have) {
		return "is there", nil
	}
	return "installed", replace(to, want)
}

// replace writes a program beside its place, syncs it to disk and renames it.
func replace(to string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".kube-router-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), to)
}
