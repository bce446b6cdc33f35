package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"kube-router/internal/lab/kubelet"
	"kube-router/internal/lab/netns"
)

// Node is one node of the cluster.
type Node struct {
	*Host
	lab     *Lab
	dir     string // its state, as the lab sees it
	number  int
	segment int
	kubelet atomic.Pointer[kubelet.Kubelet] // nil until it runs; the API server's way in asks for it at any time
	started atomic.Pointer[daemon]          // the last one, running or not
}

// daemon is one run of the kube-router process.
type daemon struct {
	cmd    *netns.Cmd
	done   chan struct{}
	err    error // why it ended, once done is closed
	wanted bool  // its end was ours
}

// Number counts nodes from 1.
func (n *Node) Number() int { return n.number }

// CNIDir is the node's /etc/cni/net.d as the lab sees it.
func (n *Node) CNIDir() string { return filepath.Join(n.dir, "cni") }

// RunDir is the node's /run as the lab sees it.
func (n *Node) RunDir() string { return filepath.Join(n.dir, "run") }

// PluginDir is where the CNI reference plugins are.
func (n *Node) PluginDir() string { return n.lab.config.Plugins }

// LogPath is the file that the node's daemon logs to, all its runs one after the other.
func (n *Node) LogPath() string { return filepath.Join(n.dir, "daemon.log") }

// DaemonLog is what the node's daemon has logged.
func (n *Node) DaemonLog() string {
	text, err := os.ReadFile(n.LogPath())
	if err != nil {
		return ""
	}
	return string(text)
}

// daemonArgs are the flags that the lab gives every daemon.
func (n *Node) daemonArgs() []string {
	f := n.lab.config.Families
	args := []string{
		"--kubeconfig=" + nodeKubeconfig, "--hostname-override=" + n.Name,
		fmt.Sprintf("--enable-ipv4=%t", f.v4()), fmt.Sprintf("--enable-ipv6=%t", f.v6()),
	}
	for _, p := range f.keep(serviceCIDRs()...) {
		args = append(args, "--service-cluster-ip-range="+p.String())
	}
	if !f.v4() {
		args = append(args, "--router-id=generate")
	}
	return append(args, n.lab.config.DaemonArgs...)
}

// StartDaemon starts kube-router on the node, with more flags if wanted. One that runs already is an error.
func (n *Node) StartDaemon(more ...string) error {
	if n.DaemonRunning() {
		return fmt.Errorf("node %s: the daemon runs already", n.Name)
	}
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	defer log.Close()
	cmd := n.Command(context.Background(), n.lab.config.Daemon, append(n.daemonArgs(), more...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "NODE_NAME="+n.Name, "POD_NAME=kube-router-"+n.Name, "POD_NAMESPACE=kube-system", "KUBE_ROUTER_CNI_CONF_FILE=/etc/cni/net.d/10-kuberouter.conflist")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("node %s: start the daemon: %w", n.Name, err)
	}
	d := &daemon{cmd: cmd, done: make(chan struct{})}
	go func() {
		d.err = cmd.Wait()
		close(d.done)
		n.tellKubelet()
	}()
	n.started.Store(d)
	n.tellKubelet()
	return nil
}

// tellKubelet has the node's kubelet look whether the daemon runs.
func (n *Node) tellKubelet() {
	if k := n.kubelet.Load(); k != nil {
		k.DaemonChanged()
	}
}

// DaemonRunning says whether the node's daemon runs.
func (n *Node) DaemonRunning() bool {
	d := n.started.Load()
	if d == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// DaemonPID is the daemon's process id as this process sees it; 0 when none runs.
func (n *Node) DaemonPID() int {
	if !n.DaemonRunning() {
		return 0
	}
	return n.started.Load().cmd.Process.Pid
}

// SignalDaemon sends the daemon a signal and returns at once.
func (n *Node) SignalDaemon(sig syscall.Signal) error {
	if !n.DaemonRunning() {
		return fmt.Errorf("node %s: no daemon runs", n.Name)
	}
	return n.started.Load().cmd.Process.Signal(sig)
}

// StopDaemon asks the daemon to end (SIGTERM) and waits until it has. One that needs more than ten seconds, or fails, is an error.
func (n *Node) StopDaemon() error { return n.stop(syscall.SIGTERM) }

// KillDaemon kills the daemon (SIGKILL) and waits until it is gone.
func (n *Node) KillDaemon() error {
	err := n.stop(syscall.SIGKILL)
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return nil // killed, as wished
	}
	return err
}

// RestartDaemon stops the daemon and starts it again, with more flags if wanted.
func (n *Node) RestartDaemon(more ...string) error {
	if err := n.StopDaemon(); err != nil {
		return err
	}
	return n.StartDaemon(more...)
}

func (n *Node) stop(sig syscall.Signal) error {
	d := n.started.Load()
	if d == nil {
		return fmt.Errorf("node %s: no daemon was started", n.Name)
	}
	d.wanted = true
	if err := n.SignalDaemon(sig); err != nil {
		return err
	}
	select {
	case <-d.done:
		if d.err != nil {
			return fmt.Errorf("node %s: the daemon ended: %w", n.Name, d.err)
		}
		return nil
	case <-time.After(10 * time.Second):
		d.cmd.Process.Kill()
		<-d.done
		return fmt.Errorf("node %s: the daemon did not end within 10 s of %v", n.Name, sig)
	}
}

// ended says why a daemon that should run doesn't, with the end of its log.
func (n *Node) ended() string {
	text := strings.Split(strings.TrimSpace(n.DaemonLog()), "\n")
	return fmt.Sprintf("%s: the daemon ended: %v\n%s", n.Name, n.started.Load().err, strings.Join(text[max(0, len(text)-20):], "\n"))
}

// PowerOff ends the node as a failed power supply would: its cable is dead and its daemon killed, but the API still has its objects.
func (n *Node) PowerOff() error {
	if err := n.Cable(false); err != nil || !n.DaemonRunning() {
		return err
	}
	return n.KillDaemon()
}

// Cable plugs the node's eth0 in (true) or pulls it at the switch.
func (n *Node) Cable(plugged bool) error { return n.lab.fabric.SetLink(n.Name, plugged) }
