package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"kube-router/internal/lab"
)

const talker = `
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec: {nodeName: n1, terminationGracePeriodSeconds: 1, containers: [{name: c, image: lab}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec: {nodeName: n1, terminationGracePeriodSeconds: 1, containers: [{name: a, image: lab}, {name: b, image: lab}]}
`

// kubectl runs the real program on the lab, with standard input.
func kubectl(t *testing.T, l *lab.Lab, stdin string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig(), "KUBECACHEDIR="+t.TempDir())
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kubectl %v: %v: it is what users talk to the lab with", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestKubectlExec is kubectl exec as users know it.
func TestKubectlExec(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	apply(t, ctx, l, talker)
	address := l.Pod("talker").IPv4().String()
	for _, c := range []struct {
		stdin, command, says string
		code                 int
	}{
		{"", "exec talker -- echo hello", "hello", 0},
		{"", "exec talker -- ip -br address", address, 0},
		{"", "exec talker -- sh -c exit\\ 7", "exit code 7", 7},
		{"", "exec talker -- sh -c echo\\ oops>&2;exit\\ 3", "oops", 3},
		{"", "exec talker -- sh -c kill\\ -9\\ $$", "exit code 137", 137},
		{"one\ntwo\n", "exec -i talker -- wc -l", "2", 0},
		{strings.Repeat("0123456789abcdef\n", 60000), "exec -i talker -- md5sum", "258bb4d4658929cbfeb0a43d005fec03", 0},
		{"", "exec talker -- head -c 3000000 /dev/zero", strings.Repeat("\x00", 3000000), 0},
		{"not read", "exec -i talker -- true", "", 0},
		{"", "exec talker -- no-such-program", "executable file not found", 1},
		{"", "exec talker -c x -- true", "container x is not valid for pod talker", 1},
		{"", "exec two -c b -- echo there", "there", 0},
		{"", "exec nobody -- true", `pods "nobody" not found`, 1},
	} {
		var args []string
		for _, word := range strings.Fields(strings.ReplaceAll(c.command, `\ `, "\x01")) {
			args = append(args, strings.ReplaceAll(word, "\x01", " "))
		}
		out, code := kubectl(t, l, c.stdin, args...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("kubectl %s: code %d, %.300q; want %d, %.100q", c.command, code, out, c.code, c.says)
		}
	}
}

// reach is a REST request for a subresource of the pod.
func reach(t *testing.T, l *lab.Lab, pod, sub string, opts *corev1.PodExecOptions) (*rest.Config, *rest.Request) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.GroupVersion, config.APIPath, config.NegotiatedSerializer = &corev1.SchemeGroupVersion, "/api", scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	r := client.Post().Resource("pods").Namespace("default").Name(pod).SubResource(sub)
	if opts != nil {
		r = r.VersionedParams(opts, scheme.ParameterCodec)
	}
	return config, r
}

// resized is a terminal that changes its size.
type resized chan remotecommand.TerminalSize

func (r resized) Next() *remotecommand.TerminalSize {
	size, more := <-r
	if !more {
		return nil
	}
	return &size
}

// TestExecProtocols runs commands over both protocols that clients speak, with and without a terminal.
func TestExecProtocols(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	apply(t, ctx, l, talker)
	for protocol, dial := range map[string]func(*rest.Config, *url.URL) (remotecommand.Executor, error){
		"WebSocket": func(c *rest.Config, to *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(c, http.MethodGet, to.String())
		},
		"SPDY": func(c *rest.Config, to *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(c, http.MethodPost, to)
		},
	} {
		run := func(stdin io.Reader, sizes remotecommand.TerminalSizeQueue, command ...string) (string, string, error) {
			config, request := reach(t, l, "talker", "exec", &corev1.PodExecOptions{Command: command, Stdin: stdin != nil, Stdout: true, Stderr: sizes == nil, TTY: sizes != nil})
			e, err := dial(config, request.URL())
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			opts := remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Tty: sizes != nil, TerminalSizeQueue: sizes}
			if sizes == nil {
				opts.Stderr = &errs
			}
			err = e.StreamWithContext(ctx, opts)
			return out.String(), errs.String(), err
		}
		out, errs, err := run(strings.NewReader("in"), nil, "sh", "-c", "cat; echo err >&2; exit 5")
		var exit utilexec.CodeExitError
		if out != "in" || errs != "err\n" || !errors.As(err, &exit) || exit.Code != 5 {
			t.Errorf("%s: %q, %q, %v; want in, err, code 5", protocol, out, errs, err)
		}
		sizes := make(resized, 1)
		sizes <- remotecommand.TerminalSize{Width: 123, Height: 45}
		out, _, err = run(strings.NewReader("go\n"), sizes, "sh", "-c", "until stty size | grep -q '45 123'; do sleep 0.05; done; test -t 0 && test -t 1 && read word && echo $word $(stty size)")
		if !strings.Contains(out, "go 45 123") || err != nil {
			t.Errorf("%s with a terminal: %q, %v", protocol, out, err)
		}
		gone, cancel := context.WithCancel(ctx)
		config, request := reach(t, l, "talker", "exec", &corev1.PodExecOptions{Command: []string{"sleep", "4711"}, Stdout: true})
		e, err := dial(config, request.URL())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(300*time.Millisecond, cancel)
		if err := e.StreamWithContext(gone, remotecommand.StreamOptions{Stdout: io.Discard}); err == nil {
			t.Errorf("%s: a command outlives its client without an error", protocol)
		}
		eventually(t, func() error {
			if out, _ := l.Node("n1").Run(ctx, "pgrep", "-x", "sleep", "-a"); strings.Contains(out, "4711") {
				return fmt.Errorf("%s: what a client started runs on without it", protocol)
			}
			return nil
		})
	}
}

// TestPortForward connects to a pod's port through the API server, over both protocols.
func TestPortForward(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	apply(t, ctx, l, talker)
	config, request := reach(t, l, "talker", "portforward", nil)
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(request.URL(), config)
	if err != nil {
		t.Fatal(err)
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, request.URL())
	for protocol, dialer := range map[string]httpstream.Dialer{"SPDY": plain, "WebSocket": tunnel} {
		forward(t, ctx, protocol, dialer)
	}
}

func forward(t *testing.T, ctx context.Context, protocol string, dialer httpstream.Dialer) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan struct{})
	f, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{"0:8080", "0:9"}, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("%s: %v", protocol, err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // each a connection of its own
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/bytes?n=100000", ports[0].Local))
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		body, err := io.ReadAll(answer.Body)
		if answer.Body.Close(); err != nil || len(body) != 100000 {
			t.Errorf("%s: %d bytes, %v; want 100000", protocol, len(body), err)
		}
	}
	if answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[1].Local)); err == nil {
		answer.Body.Close()
		t.Errorf("%s: a port that nobody listens at answers", protocol)
	}
	cancel()
	<-ended
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for range 100 {
		if err = check(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error(err)
}
