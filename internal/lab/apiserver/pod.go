package apiserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab/podstream"
)

// Kubelets is how the server reaches into pods: what a cluster's asks the kubelet of the pod's node for. The container is one of the pod's.
type Kubelets interface {
	// Exec runs a command in the pod, with a terminal if tty says so. A command that exits with another code than 0 is a podstream.Exit.
	Exec(ctx context.Context, pod *corev1.Pod, container string, command []string, tty bool, s podstream.Streams) error
	// Log writes the pod's log, and with Follow goes on until the context ends.
	Log(ctx context.Context, pod *corev1.Pod, opts *corev1.PodLogOptions, to io.Writer) error
	// Dial connects to a TCP port of the pod.
	Dial(ctx context.Context, pod *corev1.Pod, port uint16) (net.Conn, error)
}

// intoPod serves the subresources exec, log and portforward.
func (c *call) intoPod() error {
	if c.kind.kind != "Pod" || c.server.opts.Kubelets == nil {
		return c.notFound()
	}
	e := c.server.entry(c.server.tableOf(c.kind), c.key)
	if e == nil {
		return apierrors.NewNotFound(c.kind.gr(), c.key.Name)
	}
	pod := c.kind.decodeLoosely(e.raw).(*corev1.Pod)
	if pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	switch {
	case c.sub == "log" && c.r.Method == http.MethodGet:
		return c.log(pod)
	case c.sub == "exec" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodPost):
		return c.exec(pod)
	case c.sub == "portforward" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodPost):
		podstream.Ports(c.w, c.r, func(ctx context.Context, port uint16) (net.Conn, error) {
			return c.server.opts.Kubelets.Dial(ctx, pod, port)
		})
		return nil
	}
	return apierrors.NewMethodNotSupported(c.kind.gr(), strings.ToLower(c.r.Method))
}

// container is the container that the request names; it needs to name none where there is one.
func (c *call) container(pod *corev1.Pod) (string, error) {
	var names []string
	for _, one := range pod.Spec.Containers {
		names = append(names, one.Name)
	}
	name := c.query.Get("container")
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %v", pod.Name, names))
	case !slices.Contains(names, name):
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	}
	return name, nil
}

func (c *call) flag(name string) bool {
	yes, _ := strconv.ParseBool(c.query.Get(name))
	return yes
}

func (c *call) exec(pod *corev1.Pod) error {
	container, err := c.container(pod)
	if err != nil {
		return err
	}
	want := podstream.Want{Stdin: c.flag("stdin"), Stdout: c.flag("stdout"), Stderr: c.flag("stderr"), TTY: c.flag("tty")}
	command := c.query["command"]
	if len(command) == 0 || !want.Stdin && !want.Stdout && !want.Stderr {
		return apierrors.NewBadRequest("you must specify a command and at least 1 of stdin, stdout, stderr")
	}
	podstream.Exec(c.w, c.r, want, func(ctx context.Context, s podstream.Streams) error {
		return c.server.opts.Kubelets.Exec(ctx, pod, container, command, want.TTY, s)
	})
	return nil
}

func (c *call) log(pod *corev1.Pod) error {
	container, err := c.container(pod)
	if err != nil {
		return err
	}
	if c.flag("previous") {
		return apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod.Name))
	}
	opts := &corev1.PodLogOptions{Container: container, Follow: c.flag("follow"), Timestamps: c.flag("timestamps")}
	for name, field := range map[string]**int64{"tailLines": &opts.TailLines, "limitBytes": &opts.LimitBytes, "sinceSeconds": &opts.SinceSeconds} {
		text := c.query.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return apierrors.NewBadRequest(fmt.Sprintf("%s: Invalid value: %q: must be greater than or equal to 0", name, text))
		}
		*field = &n
	}
	if text := c.query.Get("sinceTime"); text != "" {
		opts.SinceTime = &metav1.Time{}
		if err := opts.SinceTime.UnmarshalQueryParameter(text); err != nil {
			return apierrors.NewBadRequest("sinceTime: " + err.Error())
		}
	}
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.WriteHeader(http.StatusOK)
	out := flushing{c.w, http.NewResponseController(c.w)}
	if err := out.flush.Flush(); err != nil {
		return nil // the client is gone
	}
	if err := c.server.opts.Kubelets.Log(c.r.Context(), pod, opts, out); err != nil && c.r.Context().Err() == nil {
		fmt.Fprintln(out, err) // where a cluster says it, too
	}
	return nil
}

// flushing sends each line on its way at once.
type flushing struct {
	io.Writer
	flush *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.flush.Flush()
	}
	return n, err
}
