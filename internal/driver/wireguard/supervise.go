package wireguard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Supervisor keeps one Process running. It outlives the daemon, whose successor finds it by its lock.
type Supervisor struct {
	Dir     string   // of the process's socket and lock
	Path    string   // of a program that runs a Process with this Dir and Token
	Args    []string // of it, its name first
	Token   string   // what the process must have been started as
	Changed func()   // a process began: it knows nothing yet
	Log     *slog.Logger
}

const (
	beat       = time.Second
	missed     = 5
	longestGap = 2 * time.Second
)

// Run starts a process or adopts the one that an earlier life of the daemon left, and starts it again when it dies or hangs. It is
// left running when ctx ends.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of WireGuard's process: %w", err)
	}
	gap := time.Duration(0)
	for said := ""; pause(ctx, gap); {
		pidfd, err := s.attach()
		if err != nil {
			if said != err.Error() {
				s.Log.Warn("the process of WireGuard does not start", "error", err)
			}
			said, gap = err.Error(), min(2*gap+50*time.Millisecond, longestGap)
			continue
		}
		s.watch(ctx, pidfd)
		unix.Close(pidfd)
		gap = min(2*gap+20*time.Millisecond, longestGap)
	}
	return nil
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// attach adopts a process that was started as we would start it, and replaces any other.
func (s *Supervisor) attach() (pidfd int, err error) {
	pidfd, token, err := find(s.Dir)
	if err != nil {
		return -1, err
	}
	if pidfd >= 0 {
		if token == s.Token {
			return pidfd, nil
		}
		s.Log.Info("replacing WireGuard's process of another version", "was", token, "is", s.Token)
		end(pidfd)
		unix.Close(pidfd)
	}
	return s.start()
}

// find looks for whoever holds the lock; -1: nobody.
func find(dir string) (pidfd int, token string, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return -1, "", nil
	}
	if err != nil {
		return -1, "", err
	}
	defer f.Close()
	held := func() bool { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil }
	if !held() {
		return -1, "", nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return -1, "", err
	}
	pid, token, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 1 {
		return -1, "", fmt.Errorf("%s names no process", f.Name())
	}
	pidfd, err = unix.PidfdOpen(n, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open process %d: %w", n, err)
	}
	if !held() { // it has just gone, and the number may be another's
		unix.Close(pidfd)
		return -1, "", nil
	}
	return pidfd, token, nil
}

// start runs a new process in a session of its own, so that nothing that ends the daemon ends it too.
func (s *Supervisor) start() (pidfd int, err error) {
	cmd := &exec.Cmd{Path: s.Path, Args: s.Args, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	r, w, err := os.Pipe()
	if err != nil {
		return -1, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return -1, err
	}
	last := make(chan string, 1)
	go func() {
		defer r.Close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			select {
			case last <- lines.Text():
			default:
			}
			s.Log.Debug("wireguard: " + lines.Text())
		}
	}()
	pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		return -1, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() { _ = cmd.Wait() }()
	for range 100 {
		if _, err = (user{s.Dir}).device(); err == nil {
			s.Changed()
			return pidfd, nil
		}
		if gone(pidfd, 20*time.Millisecond) {
			break
		}
	}
	end(pidfd)
	unix.Close(pidfd)
	select {
	case line := <-last:
		return -1, errors.New(line)
	default:
		return -1, fmt.Errorf("it doesn't answer: %w", err)
	}
}

// gone waits for the end of a process: a pidfd becomes readable then (Linux 5.3).
func gone(pidfd int, d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	return err == nil && n > 0
}

// end ends a process: asked, then killed.
func end(pidfd int) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		_ = unix.PidfdSendSignal(pidfd, sig, nil, 0)
		if gone(pidfd, 2*time.Second) {
			return
		}
	}
}

// watch returns when the process is gone, or ctx is. One that misses several answers hangs, and is ended.
func (s *Supervisor) watch(ctx context.Context, pidfd int) {
	for silent := 0; ctx.Err() == nil; {
		if gone(pidfd, beat) {
			s.Log.Warn("the process of WireGuard died; another one starts")
			return
		}
		_, err := (user{s.Dir}).device()
		if err == nil {
			silent = 0
		} else if silent++; silent >= missed {
			s.Log.Warn("the process of WireGuard hangs; killing it", "error", err)
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		}
	}
}
