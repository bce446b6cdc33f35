package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kube-router/internal/row"
)

// Driver is the table of CNI files: one file, or none.
type Driver struct {
	path    string
	plugins []string // directories of the host's CNI plugins
}

// New makes the driver for the CNI file at path. plugins are the directories where the host's CNI plugins may be: what they know
// decides which CNI versions the file offers; none: 1.0.0 alone.
func New(path string, plugins ...string) *Driver { return &Driver{path, plugins} }

// Dump returns what we wrote into the file, if it is ours. A file in which some of it was changed gives a row
// without contents.
func (d *Driver) Dump(context.Context) (map[string]row.Conflist, error) {
	text, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]row.Conflist{}, nil
	}
	if err != nil {
		return nil, err
	}
	c, ours := d.read(text)
	if !ours {
		return map[string]row.Conflist{}, nil
	}
	if single, err := d.readSingle(); err != nil || single != nil {
		c = row.Conflist{Path: d.path} // ours doesn't count
	}
	return map[string]row.Conflist{d.path: c}, nil
}

// Apply writes the file, or puts back what was there before us.
func (d *Driver) Apply(_ context.Context, changes []row.Change[string, row.Conflist]) error {
	failed := row.Failed[string]{}
	for _, c := range changes {
		if err := d.change(c); err != nil {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (d *Driver) change(c row.Change[string, row.Conflist]) error {
	if c.Key != d.path {
		return fmt.Errorf("%s is not the CNI file of this node (%s)", c.Key, d.path)
	}
	before, err := os.ReadFile(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c.New == nil {
		return d.restore(before)
	}
	base := before
	single, err := d.readSingle()
	if err != nil {
		return err
	}
	if single != nil {
		if base, err = adopt(*c.New, before, single); err != nil {
			return row.Foreign{Err: fmt.Errorf("%s was left alone: %w", d.single(), err)}
		}
	}
	text, err := d.merge(*c.New, base)
	if err != nil {
		return row.Foreign{Err: err}
	}
	if _, ours := d.read(before); len(before) > 0 && !ours {
		if err := replace(d.backup(), before); err != nil {
			return err
		}
	}
	if err := replace(d.path, text); err != nil || single == nil {
		return err
	}
	return os.Rename(d.single(), hidden(d.single()))
}

// restore removes a file of ours and brings back the one that was there before.
func (d *Driver) restore(text []byte) error {
	if _, ours := d.read(text); !ours {
		return nil
	}
	err := os.Rename(d.backup(), d.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(d.path)
	}
	return errors.Join(err, putBack(d.single()))
}

// backup is where the file from before us is kept. Runtimes read *.conf, *.conflist and *.json alone.
func (d *Driver) backup() string { return hidden(d.path) }

// replace writes a file in one step, so that a runtime never reads half of it, and it outlives a power cut.
func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the CNI directory %s does not exist (yet): the container runtime's package or the manifest's mount makes it", dir)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
