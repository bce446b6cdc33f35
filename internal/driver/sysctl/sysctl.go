package sysctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netns"

	"kube-router/internal/row"
)

// procSys is where the kernel shows its settings.
const procSys = "/proc/sys"

// Driver is the table of kernel settings.
type Driver struct {
	ns    netns.NsHandle
	state string
	root  string
}

// New makes the driver for a network namespace (0 or netns.None: the current one). The file at state keeps
// what the settings were before.
func New(ns netns.NsHandle, state string) *Driver {
	return &Driver{ns: ns, state: state, root: procSys}
}

// Dump returns the settings that we changed, with the values that they have now.
func (d *Driver) Dump(context.Context) (map[string]row.Sysctl, error) {
	saved, err := load(d.state)
	if err != nil {
		return nil, err
	}
	rows := map[string]row.Sysctl{}
	err = d.inside(func() error {
		for name, e := range saved {
			value, failure := d.read(name)
			switch {
			case errors.Is(failure, fs.ErrNotExist):
				// Its link is gone. Listed it is forgotten once nobody wants it.
				rows[name] = row.Sysctl{Name: name}
			case failure != nil:
				return failure
			case e.Row.Holds(value):
				rows[name] = e.Row
			default:
				rows[name] = row.Sysctl{Name: name, Value: value}
			}
		}
		return nil
	})
	return rows, err
}

// Apply changes settings. What they were is on disk before the first is changed.
func (d *Driver) Apply(_ context.Context, changes []row.Change[string, row.Sysctl]) error {
	saved, err := load(d.state)
	if err != nil {
		return err
	}
	changes = slices.Clone(changes)
	slices.SortFunc(changes, before)
	failed := row.Failed[string]{}
	err = d.inside(func() error {
		for _, c := range changes {
			if c.New != nil {
				d.remember(saved, *c.New)
			}
		}
		if err = store(d.state, saved); err != nil {
			return err
		}
		for _, c := range changes {
			if failure := d.change(saved, c); failure != nil {
				failed[c.Key] = failure
			}
		}
		return store(d.state, saved)
	})
	if err == nil && len(failed) > 0 {
		return failed
	}
	return err
}

// before orders changes by name, with IPv6 forwarding last: when it is switched on the kernel forgets the default
// routes that it learned from router advertisements on links where accept_ra isn't 2 yet.
func before(a, b row.Change[string, row.Sysctl]) int {
	rank := func(name string) int { return strings.Index(name, "net/ipv6/conf/all/forwarding") }
	return cmp.Or(cmp.Compare(rank(a.Key), rank(b.Key)), strings.Compare(a.Key, b.Key))
}

// remember keeps a setting's value from before our first change.
func (d *Driver) remember(saved map[string]entry, want row.Sysctl) {
	e, known := saved[want.Name]
	if !known {
		value, err := d.read(want.Name)
		if err != nil {
			return
		}
		e.Original = value
	}
	e.Row = want
	saved[want.Name] = e
}

func (d *Driver) change(saved map[string]entry, c row.Change[string, row.Sysctl]) error {
	if c.New == nil {
		return d.restore(saved, c.Key)
	}
	value, err := d.read(c.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && c.New.Optional:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return row.Foreign{Err: fmt.Errorf("this kernel has no setting %s (yet)", c.Key)}
	case err != nil:
		return err
	case c.New.Holds(value):
		return nil
	}
	return d.write(c.Key, c.New.Value)
}

// restore puts a setting back to what it was, if it still is what we made it.
func (d *Driver) restore(saved map[string]entry, name string) error {
	e, known := saved[name]
	if !known {
		return nil
	}
	value, err := d.read(name)
	if err == nil && value == e.Row.Value && value != e.Original {
		err = d.write(name, e.Original)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(saved, name)
	return nil
}

func (d *Driver) path(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q is not the name of a setting", name)
	}
	return filepath.Join(d.root, name), nil
}

// read gives a setting's value with its fields separated by single blanks.
func (d *Driver) read(name string) (string, error) {
	path, err := d.path(name)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return strings.Join(strings.Fields(string(b)), " "), err
}

func (d *Driver) write(name, value string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(value), 0o644)
}

// inside runs f on a thread in the driver's namespace, because /proc/sys/net shows the reader's own.
func (d *Driver) inside(f func() error) error {
	if d.ns <= 0 {
		return f()
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the current network namespace: %w", err)
	}
	defer home.Close()
	if err = netns.Set(d.ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	err = f()
	// A thread that can't go back stays locked, and ends with its goroutine.
	if back := netns.Set(home); back != nil {
		return errors.Join(err, fmt.Errorf("leave the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
