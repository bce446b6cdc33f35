package kubelet

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/podstream"
)

// onTerminal gives the command a terminal of its own for all its streams.
func onTerminal(cmd *netns.Cmd, s podstream.Streams) error {
	ours, theirs, err := terminal()
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer ours.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr.Setctty = true
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	if s.Resize != nil {
		go resize(ours, s.Resize)
	}
	if s.Stdin != nil {
		go func() { _, _ = io.Copy(ours, s.Stdin) }() // its end is the client's; a hang-up comes with the terminal's close
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		if s.Stdout != nil {
			_, _ = io.Copy(s.Stdout, ours) // EIO when the last of them has closed the terminal
		}
	}()
	err = cmd.Wait()
	select {
	case <-told:
	case <-time.After(outputPatience):
	}
	return err
}

func resize(ours *os.File, sizes <-chan podstream.Size) {
	for size := range sizes {
		_ = control(ours, func(fd int) error { // fails only once it is closed
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: size.Width, Row: size.Height})
		})
	}
}

// terminal opens a new pseudo-terminal; the second file is the command's side.
func terminal() (ours, theirs *os.File, err error) {
	if ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	var number uint32
	err = control(ours, func(fd int) error {
		failed := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
		if failed == nil {
			number, failed = unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		}
		return failed
	})
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// control runs f on the file's descriptor, and leaves the file as it is for whoever reads it.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err = raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err == nil {
		err = failed
	}
	return err
}
