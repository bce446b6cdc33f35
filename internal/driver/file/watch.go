package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// watched are the changes in a directory that may concern the file: it is written, comes or goes.
const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// Watch calls changed whenever the file may have changed, until ctx ends. While the directory is missing it
// watches for it to appear.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	for ctx.Err() == nil {
		if err := d.watchOnce(ctx, changed); err != nil {
			return err
		}
	}
	return nil
}

// watchOnce waits for one batch of changes in the nearest directory that exists. The next batch gets a new watch,
// because the directory itself may have come or gone.
func (d *Driver) watchOnce(ctx context.Context, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch %s: %w", d.path, err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	if _, err := unix.InotifyAddWatch(fd, nearest(filepath.Dir(d.path)), watched); err != nil {
		return fmt.Errorf("watch %s: %w", d.path, err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	// Since the watch before this one something may have happened that neither saw.
	changed()
	if _, err := f.Read(make([]byte, 64*1024)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch %s: %w", d.path, err)
	}
	return nil
}

// nearest is the deepest existing directory on the way to dir.
func nearest(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
