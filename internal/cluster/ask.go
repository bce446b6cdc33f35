package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// Answer is what a command on a node said.
type Answer struct {
	Node   Node
	Out    []byte
	Said   string // on standard error
	Code   int    // its exit code
	Silent string // why there is no answer; empty: there is one
}

// program is the daemon's program, as it is called in its image.
const program = "kube-router"

// Ask runs the daemon's program with arguments in its pod on a node. A node that can't be asked is no error: the answer says why.
func (c *Cluster) Ask(ctx context.Context, n Node, args ...string) Answer {
	a := Answer{Node: n}
	if n.Pod == nil {
		a.Silent = "no kube-router pod on this node" + n.unready()
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	var out, said bytes.Buffer
	err := c.exec(ctx, n.Pod, container(n.Pod), nil, &out, &said, append([]string{program}, args...)...)
	var exit utilexec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		a.Code = exit.ExitStatus()
	case ctx.Err() != nil || timedOut(err): // the stream has the same deadline, and may find out first
		a.Silent = fmt.Sprintf("no answer within %s%s", c.Patience, n.unready())
		return a
	default:
		a.Silent = c.silence(n, err)
		return a
	}
	a.Out, a.Said = out.Bytes(), strings.TrimSpace(said.String())
	return a
}

// AskAll asks many nodes at once and returns their answers in the nodes' order.
func (c *Cluster) AskAll(ctx context.Context, nodes []Node, args ...string) []Answer {
	answers := make([]Answer, len(nodes))
	each(nodes, func(i int, n Node) { answers[i] = c.Ask(ctx, n, args...) })
	return answers
}

// each calls f for every node, for several at once, and returns when all is done.
func each(nodes []Node, f func(int, Node)) {
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, n := range nodes {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			f(i, n)
		})
	}
	all.Wait()
}

// exec runs a command in a pod, over a WebSocket, or SPDY where a server or proxy knows no WebSockets. Its end is the command's or the context's; a context
// that ends is never waited for longer, whatever the connection is at.
func (c *Cluster) exec(ctx context.Context, pod *corev1.Pod, container string, stdin io.Reader, stdout, stderr io.Writer, command ...string) error {
	request := c.core().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true}, c.params)
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", request.URL())
	if err != nil {
		return err
	}
	web, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	either, err := remotecommand.NewFallbackExecutor(web, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	out, errs := &until{to: stdout}, &until{to: stderr}
	go func() {
		done <- either.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: out, Stderr: errs})
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	out.end()
	errs.end()
	return err
}

// until passes on what is written until it is ended: a stream that nobody waits for any more may still write.
type until struct {
	mu sync.Mutex
	to io.Writer
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.to == nil {
		return 0, io.ErrClosedPipe
	}
	return u.to.Write(p)
}

func (u *until) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.to = nil
}

// unready says that the node's kubelet is away, which explains much.
func (n Node) unready() string {
	if n.ready() {
		return ""
	}
	return "; the node is not ready"
}

// silence says why a command could not be run: the pod's own state tells more than the connection.
func (c *Cluster) silence(n Node, err error) string {
	if apierrors.IsForbidden(err) || strings.Contains(err.Error(), "is forbidden: User") { // an upgrade that fails keeps only the words
		return err.Error() + ": this command needs the right to create (and, before Kubernetes 1.35, get) pods/exec in namespace " + n.Pod.Namespace
	}
	why := strings.TrimSpace(strings.TrimPrefix(err.Error(), "unable to upgrade connection: "))
	for _, s := range n.Pod.Status.ContainerStatuses {
		if s.Name != container(n.Pod) || s.Ready {
			continue
		}
		if w := s.State.Waiting; w != nil {
			why = strings.TrimSpace(w.Reason + " " + w.Message)
		}
		for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if t != nil {
				why += fmt.Sprintf("; its container ended at %s with code %d %s", t.FinishedAt.UTC().Format("15:04:05"), t.ExitCode, t.Reason)
				break
			}
		}
	}
	return fmt.Sprintf("pod %s: %s%s", n.Pod.Name, why, n.unready())
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
