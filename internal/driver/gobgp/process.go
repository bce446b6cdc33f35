package gobgp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"golang.org/x/sys/unix"
)

// process is a running speaker, our child or one that an earlier life of the daemon left.
type process struct {
	token string
	done  chan struct{} // closed when it is gone
	ended chan error    // of a child of ours: how it ended; nil: of its own will

	mu    sync.Mutex
	pidfd int // -1: gone
}

// find looks for a running speaker: whoever holds the lock. None: nil.
func find(dir string) (*process, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a speaker: %w", err)
	}
	defer f.Close()
	if !held(f) {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("look for a speaker: %w", err)
	}
	pid, token, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 1 {
		return nil, fmt.Errorf("look for a speaker: %s names no process", f.Name())
	}
	p, err := open(n)
	if err != nil {
		return nil, err
	}
	// The lock is held still, so the number was the speaker's when the descriptor was made.
	if !held(f) {
		unix.Close(p.pidfd)
		return nil, nil
	}
	p.token = token
	go p.await()
	return p, nil
}

// held tells whether somebody holds the lock.
func held(f *os.File) bool {
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		return true
	}
	// Closing the file gives the lock back.
	return false
}

func open(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open the speaker's process %d: %w", pid, err)
	}
	return &process{pidfd: fd, done: make(chan struct{})}, nil
}

// await waits for the end: a pidfd becomes readable then (Linux 5.3).
func (p *process) await() {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.Close(p.pidfd)
	p.pidfd = -1
	close(p.done)
}

// orderly tells whether a process that is gone ended because it was told to. Of one that isn't our child
// nobody can say.
func (p *process) orderly() bool {
	if p.ended == nil {
		return false
	}
	return <-p.ended == nil
}

// signal reaches the process and never another one, even when it has just gone.
func (p *process) signal(sig unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		_ = unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	}
}

// start runs a new speaker, in a session of its own so that nothing that ends the daemon ends it too.
func start(path string, args []string, token string, line func(string)) (*process, error) {
	cmd := &exec.Cmd{Path: path, Args: args, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the speaker: %w", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start the speaker: %w", err)
	}
	go relay(r, line)
	p, err := open(cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p.token = token
	go p.await()
	p.ended = make(chan error, 1)
	go func() { p.ended <- cmd.Wait() }()
	return p, nil
}

// relay hands on what the speaker says, line by line.
func relay(r io.ReadCloser, line func(string)) {
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		line(s.Text())
	}
}

// stop ends the process: told to, then asked by signal, then killed.
func (p *process) stop(c *client, graceful bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if c.there() {
		_, _ = c.StopBgp(ctx, &api.StopBgpRequest{AllowGracefulRestart: graceful})
	}
	for _, sig := range []unix.Signal{0, unix.SIGTERM, unix.SIGKILL} {
		p.signal(sig)
		select {
		case <-p.done:
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// kill ends the process at once; its peers take that for a restart (RFC 4724) where they can.
func (p *process) kill() {
	p.signal(unix.SIGKILL)
	<-p.done
}
