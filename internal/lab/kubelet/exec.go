package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/podstream"
)

// outputPatience is how long a command's output may stay open, in the hands of its children, after it has ended.
const outputPatience = 2 * time.Second

// Exec runs a command in the pod: in its network, with the files and processes of its node, and nothing of it lives longer than the
// context. A command that exits with another code than 0 is a podstream.Exit.
func (p *Pod) Exec(ctx context.Context, command []string, tty bool, s podstream.Streams) error {
	space, err := p.running()
	if err != nil {
		return err
	}
	cmd := p.Machine().Command(ctx, space, p.program(command[0]), command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PATH="+p.kubelet.Programs+":"+os.Getenv("PATH"), "HOSTNAME="+p.first.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = outputPatience
	if tty {
		err = onTerminal(cmd, s)
	} else {
		err = onPipes(cmd, s)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return podstream.Exit(exit.ExitCode())
	case errors.As(err, &exit):
		return podstream.Exit(128 + int(exit.Sys().(syscall.WaitStatus).Signal())) // as a shell tells it
	}
	return err
}

// running is the network namespace of a pod whose program runs.
func (p *Pod) running() (*netns.Space, error) {
	space := p.Space()
	if space == nil || p.daemon() && !p.kubelet.DaemonRuns() {
		return nil, fmt.Errorf("container of pod %s is not running", p.Name())
	}
	return space, nil
}

// program finds kube-router's own programs first, so that a pod has those of its node's daemon.
func (p *Pod) program(name string) string {
	if path := filepath.Join(p.kubelet.Programs, name); !strings.Contains(name, "/") {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return name
}

func onPipes(cmd *netns.Cmd, s podstream.Streams) error {
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	var in io.WriteCloser
	if s.Stdin != nil { // not as cmd.Stdin: a command may end without having read all
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if in != nil {
		go func() {
			defer in.Close()
			_, _ = io.Copy(in, s.Stdin) // its end is the client's, or the command's
		}()
	}
	return cmd.Wait()
}

// Dial connects to a port of the pod as a program inside it would: at its loopback address, IPv4 first.
func (p *Pod) Dial(ctx context.Context, port uint16) (conn net.Conn, err error) {
	space, err := p.running()
	if err != nil {
		return nil, err
	}
	for _, host := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		var dialer net.Dialer
		dialer.SetMultipathTCP(false)
		failed := space.Do(func() (failed error) {
			conn, failed = dialer.DialContext(ctx, "tcp", net.JoinHostPort(host.String(), strconv.Itoa(int(port))))
			return failed
		})
		if failed == nil {
			return conn, nil
		}
		err = errors.Join(err, failed)
	}
	return nil, err
}
