package podlink

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// Within runs f in the network namespace of a path.
func Within(path string, f func() error) error {
	there, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer there.Close()
	return in(there, f)
}

func in(there netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("our own network namespace: %w", err)
	}
	defer here.Close()
	if err := netns.Set(there); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	err = f()
	if back := netns.Set(here); back != nil { // the thread stays locked, and ends with its goroutine
		return errors.Join(err, fmt.Errorf("leave the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// foreign opens the network namespace of a path, unless it is our own: what is in there is the node's.
func foreign(path string) (netns.NsHandle, error) {
	there, err := netns.GetFromPath(path)
	if err != nil {
		return there, fmt.Errorf("network namespace %s: %w", path, err)
	}
	here, err := netns.Get()
	if err != nil {
		there.Close()
		return there, fmt.Errorf("our own network namespace: %w", err)
	}
	defer here.Close()
	if here.Equal(there) {
		there.Close()
		return netns.None(), fmt.Errorf("network namespace %s is the node's own", path)
	}
	return there, nil
}
