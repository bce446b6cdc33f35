package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(lab.Suite(func(dir string) int {
		programs = dir
		return m.Run()
	}))
}

// start starts a lab whose daemons have pods, with those of the demo.
func start(t *testing.T, config lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	config.DaemonPods = true
	l, ctx := labtest.Start(t, 4*time.Minute, programs, config)
	if err := l.Apply(ctx, lab.Demo); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return l, ctx
}

// answer is what a program wrote, and its exit code.
type answer struct {
	out, errs string
	code      int
}

// run runs a program of the operator's machine on the lab.
func run(t *testing.T, ctx context.Context, l *lab.Lab, name string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig(), "KUBECACHEDIR="+t.TempDir(), "PATH="+programs+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return answer{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for range 200 {
		if err = check(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error(err)
}

// TestDaemonPods: the pods that stand for the daemons are as a DaemonSet's: one can run the daemon's program in them and read its log,
// and when the daemon is away they say so.
func TestDaemonPods(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	in := []string{"-n", "kube-system"}
	pods := run(t, ctx, l, "kubectl", append(in, "get", "pods", "-l", "k8s-app=kube-router", "-o", "wide")...)
	if strings.Count(pods.out, "1/1") != 2 {
		t.Errorf("daemon pods:\n%s", pods.out)
	}
	summary := run(t, ctx, l, "kubectl", append(in, "exec", "kube-router-n2", "--", "kube-router", "show")...)
	if summary.code != 0 || !strings.Contains(summary.out, "n2") {
		t.Errorf("show on n2: %+v", summary)
	}
	whole := run(t, ctx, l, "kubectl", append(in, "logs", "kube-router-n1")...)
	last := run(t, ctx, l, "kubectl", append(in, "logs", "kube-router-n1", "--tail=1", "--timestamps")...)
	if !strings.Contains(whole.out, "kube-router starts") || strings.Count(last.out, "\n") != 1 || !strings.HasPrefix(last.out, "20") {
		t.Errorf("log %q, last line %q", whole.out, last.out)
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(following, "kubectl", append(in, "logs", "-f", "--since=1s", "kube-router-n1")...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig())
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // past what --since takes
	if err := l.Node("n1").StopDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "kube-router stops") {
			return fmt.Errorf("logs -f: %q, %v", text, err)
		}
		return nil
	})
	stop()
	_ = cmd.Wait() // killed
	eventually(t, func() error {
		if pods := run(t, ctx, l, "kubectl", append(in, "get", "pod", "kube-router-n1")...); !strings.Contains(pods.out, "0/1") {
			return fmt.Errorf("pod of a daemon that was stopped:\n%s", pods.out)
		}
		return nil
	})
	if a := run(t, ctx, l, "kubectl", append(in, "exec", "kube-router-n1", "--", "true")...); a.code == 0 || !strings.Contains(a.errs, "not running") {
		t.Errorf("exec into a stopped daemon's pod: %+v", a)
	}
	if err := l.Node("n1").StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}
