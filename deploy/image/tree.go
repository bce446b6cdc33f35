package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// tree is the image's file system: entries by path, without a leading slash.
type tree map[string]entry

// entry is one file, folder or link.
type entry struct {
	mode fs.FileMode // permission bits, with fs.ModeDir or fs.ModeSymlink
	text []byte      // the content, or the link's target
}

// skeleton is what a program needs around it. /var/run leads to /run because CNI results name network
// namespaces below /var/run/netns.
func skeleton() tree {
	t := tree{
		"etc/passwd":        {0o644, []byte("root:x:0:0:root:/:/sbin/nologin\n")},
		"etc/group":         {0o644, []byte("root:x:0:\n")},
		"etc/nsswitch.conf": {0o644, []byte("hosts: files dns\n")},
		"var/run":           {fs.ModeSymlink | 0o777, []byte("/run")},
	}
	for _, dir := range []string{"etc", "opt", "opt/cni", "opt/cni/bin", "run", "tmp", "usr", "usr/local", "usr/local/bin", "var"} {
		t[dir] = entry{fs.ModeDir | 0o755, nil}
	}
	return t
}

// load adds the programs below a folder.
func (t tree) load(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		t[filepath.ToSlash(name)] = entry{0o755, text}
		return err
	})
}

// write makes the tree below a folder.
func (t tree) write(dir string) error {
	for _, name := range t.names() {
		e, path := t[name], filepath.Join(dir, filepath.FromSlash(name))
		var err error
		switch e.mode.Type() {
		case fs.ModeDir:
			err = os.MkdirAll(path, e.mode.Perm())
		case fs.ModeSymlink:
			err = os.Symlink(string(e.text), path)
		default:
			err = os.WriteFile(path, e.text, e.mode.Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// names are the paths in order; a folder comes before what is in it.
func (t tree) names() []string { return slices.Sorted(maps.Keys(t)) }

// layer is the tree as a tar of root's files without times.
func (t tree) layer() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range t.names() {
		if err := add(w, name, t[name]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func add(w *tar.Writer, name string, e entry) error {
	h := &tar.Header{Name: name, Mode: int64(e.mode.Perm()), Format: tar.FormatUSTAR}
	switch e.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, string(e.text)
		e.text = nil
	default:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(e.text)
	return err
}
