package nft

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// space is a network namespace of the test's own, gone when the test is.
type space struct{ fd int }

func newSpace(t testing.TB) space {
	t.Helper()
	var fd int
	var err error
	inThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return space{fd}
}

// inThread runs f in a thread of its own, which ends with it because it is never unlocked.
func inThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// nft runs the nft program there, for what our own reading could not tell.
func (s space) nft(t testing.TB, input string, args ...string) string {
	t.Helper()
	var out []byte
	var err error
	inThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			return
		}
		cmd := exec.Command("nft", args...)
		cmd.Stdin = strings.NewReader(input)
		out, err = cmd.CombinedOutput()
	})
	if err != nil {
		t.Fatalf("nft %s: %v\n%s\n%s", strings.Join(args, " "), err, input, out)
	}
	return string(out)
}

func needTool(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatal("the nft program is not installed; test/setup test installs it")
	}
}

func newDriver(t testing.TB, s space) *Driver {
	t.Helper()
	d, err := New(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}
