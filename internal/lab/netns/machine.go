package netns

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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is a host of the lab: network, PID, mount, UTS and IPC namespaces around a holder process. Ending the holder ends every
// process in the machine, for it is their init; and the holder ends when its owner does, for it reads from a pipe that the owner
// holds. So nothing survives a killed owner but the name of the network namespace.
type Machine struct {
	*Space
	name   string
	spaces map[int]*os.File // clone flag → namespace
	hold   *exec.Cmd        // nil for one who only visits
	leash  io.Closer
}

// entering is the order in which a thread joins a machine: the mount namespace last but one, since /proc changes with it.
func entering() []int {
	return []int{unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWNS}
}

// StartMachine starts a machine with that host name, whose own files (/run, /etc, /opt, /var/lib) are kept below dir. The running
// program must call Hold when it is started with the arguments of HoldArgs.
func StartMachine(name, dir string) (*Machine, error) {
	stdin, leash, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	defer stdin.Close()
	cmd := exec.Command("/proc/self/exe", HoldArgs(name, dir)...)
	cmd.Args[0] = "krlab-machine"
	cmd.Stdin = stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true, // Ctrl-C is for the owner
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		leash.Close()
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	said, _ := bufio.NewReader(stdout).ReadString('\n')
	m, err := OpenMachine(name, cmd.Process.Pid)
	if said != ready {
		err = fmt.Errorf("holder says %q, %w", strings.TrimSpace(said), errors.Join(err, errors.New("not ready")))
	}
	if err != nil {
		leash.Close()
		cmd.Wait()
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	m.hold, m.leash = cmd, leash
	return m, m.Prepare()
}

// OpenMachine visits the machine whose holder has that process id.
func OpenMachine(name string, pid int) (*Machine, error) {
	m := &Machine{name: name, spaces: map[int]*os.File{}}
	for flag, file := range map[int]string{unix.CLONE_NEWUTS: "uts", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWPID: "pid", unix.CLONE_NEWNET: "net", unix.CLONE_NEWNS: "mnt"} {
		f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "ns", file))
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("machine %s: %w", name, err)
		}
		m.spaces[flag] = f
	}
	m.Space = &Space{m.spaces[unix.CLONE_NEWNET]}
	return m, nil
}

// PID is the holder's process id as the owner sees it; 0 for a visitor.
func (m *Machine) PID() int {
	if m.hold == nil {
		return 0
	}
	return m.hold.Process.Pid
}

// Close ends the machine and every process in it, if it is the owner's; a visitor just leaves.
func (m *Machine) Close() error {
	if m.hold != nil {
		m.leash.Close()
		m.hold.Process.Kill()
		m.gone()
	}
	for _, f := range m.spaces {
		f.Close()
	}
	return nil
}

// gone waits until the PID namespace is empty. The kernel kills all that is in it, but what the owner started there must be waited
// for by the owner before the holder itself can go (pid_namespaces(7)); one who forgot to must not hang everything.
func (m *Machine) gone() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.hold.Wait() // its error is the kill
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
	}
}

// Enter runs f in all namespaces of the machine, on a thread made for it, but in the network namespace inner when that isn't nil.
// The process itself stays in its own PID namespace; only what f starts is the machine's.
func (m *Machine) Enter(inner *Space, f func() error) error {
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "/"
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // else the kernel refuses another mount namespace to a thread
			return fmt.Errorf("enter %s: %w", m.name, err)
		}
		for _, flag := range entering() {
			fd := int(m.spaces[flag].Fd())
			if flag == unix.CLONE_NEWNET && inner != nil {
				fd = inner.Fd()
			}
			if err := unix.Setns(fd, flag); err != nil {
				return fmt.Errorf("enter %s, namespace %#x: %w", m.name, flag, err)
			}
		}
		if unix.Chdir(cwd) != nil {
			unix.Chdir("/")
		}
		return f()
	})
}

// Command prepares a program to run in the machine, or in the network namespace inner inside it.
func (m *Machine) Command(ctx context.Context, inner *Space, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), enter: func(f func() error) error { return m.Enter(inner, f) }}
}
