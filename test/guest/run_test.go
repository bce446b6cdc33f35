//go:build guest

// Package guest checks the runner of this folder from outside: whoever uses it must be
// able to trust its status and its output, and find nothing left behind.
package guest

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script returns the runner about to run args, with a TMPDIR of its own that must be
// empty, and without processes that know it, when the test ends.
func script(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	run, err := filepath.Abs("run")
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	c := exec.Command(run, args...)
	c.Env = append(os.Environ(), "TMPDIR="+tmp)
	t.Cleanup(func() { nothingLeft(t, tmp) })
	return c
}

// nothingLeft fails the test if a process or a file of a run is there. A killed process
// needs a moment to go.
func nothingLeft(t *testing.T, tmp string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = processes(tmp); len(left) == 0 {
			break
		}
	}
	files, err := os.ReadDir(tmp)
	if len(left) > 0 || len(files) > 0 || err != nil {
		t.Errorf("left behind: processes %q, files %v, error %v", left, files, err)
	}
}

// processes lists the command lines that contain word.
func processes(word string) (list []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(word)) {
			list = append(list, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return list
}

type result struct {
	Status      int
	Out, Errors string
}

func finish(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	status := code(t, c.Run())
	return result{status, out.String(), errs.String()}
}

func code(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

func TestStatusAndOutput(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want result
	}{
		"success is silent":    {[]string{"true"}, result{}},
		"status":               {[]string{"sh", "-c", "exit 77"}, result{Status: 77}},
		"ended by SIGTERM":     {[]string{"sh", "-c", "kill -TERM $$"}, result{Status: 143}},
		"ended by SIGKILL":     {[]string{"sh", "-c", "kill -KILL $$"}, result{Status: 137}},
		"no such program":      {[]string{"sh", "-c", "exec 2>/dev/null; exec /no/such"}, result{Status: 127}},
		"not a program":        {[]string{"sh", "-c", "exec 2>/dev/null; exec /etc"}, result{Status: 126}},
		"words stay whole":     {[]string{"--", "printf", "<%s>", "a b", "", `$x"'*`, "--mem"}, result{Out: `<a b><><$x"'*><--mem>`}},
		"environment":          {[]string{"--env", "X=1 -2", "--env", "Y", "sh", "-c", `echo "$X $Y ${Z-unset}"`}, result{Out: "1 -2 y unset\n"}},
		"streams in order":     {[]string{"sh", "-c", "echo 1; echo 2 >&2; echo 3"}, result{Out: "1\n2\n3\n"}},
		"no stdin":             {[]string{"wc", "-c"}, result{Out: "0\n"}},
		"no terminal":          {[]string{"sh", "-c", "test -t 1 || echo none"}, result{Out: "none\n"}},
		"a daemon left behind": {[]string{"sh", "-c", "sleep 500 & echo up"}, result{Out: "up\n"}},
		"CPUs":                 {[]string{"--cpus", "2", "nproc"}, result{Out: "2\n"}},
		"root is writable":     {[]string{"sh", "-c", "echo x >/etc/guest-only && cat /etc/guest-only"}, result{Out: "x\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := script(t, c.args...)
			run.Env = append(run.Env, "Y=y", "Z=secret")
			run.Stdin = strings.NewReader("not for the guest")
			if diff := cmp.Diff(c.want, finish(t, run)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	t.Cleanup(func() {
		if _, err := os.Stat("/etc/guest-only"); err == nil {
			t.Error("a guest wrote to the host")
		}
	})
}

func TestWrongUse(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":     {},
		"unknown option": {"--wrong", "true"},
		"no value":       {"--mem"},
		"not a number":   {"--timeout", "5s", "true"},
		"no such engine": {"--engine", "abacus", "true"},
		"comma":          {"--out", "a,b", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			got := finish(t, script(t, args...))
			if got.Status != 125 || got.Errors == "" || got.Out != "" {
				t.Errorf("got %+v; want status 125 and words on stderr alone", got)
			}
		})
	}
}

// TestMuchOutput reads megabytes of every byte value unharmed, and slowly.
func TestMuchOutput(t *testing.T) {
	t.Parallel()
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	file := filepath.Join(t.TempDir(), "bytes")
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, script(t, "sh", "-c", "cat "+file+"; sleep 1; cat "+file)); got.Status != 0 || got.Out != string(want)+string(want) {
		t.Errorf("status %d, %d bytes; want 0 and the file's %d twice", got.Status, len(got.Out), len(want))
	}
}

func TestOutIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got := finish(t, script(t, "--out", dir+"/a", "--out", dir+"/b", "sh", "-c",
		"cd "+dir+" && echo a >a/f && echo b >b/f && echo gone >f"))
	a, errA := os.ReadFile(dir + "/a/f")
	b, errB := os.ReadFile(dir + "/b/f")
	_, errF := os.Stat(dir + "/f")
	if got.Status != 0 || string(a)+string(b) != "a\nb\n" || !os.IsNotExist(errF) {
		t.Errorf("got %+v, a %q %v, b %q %v, f %v; want both files and no f", got, a, errA, b, errB, errF)
	}
}

func TestTimeOut(t *testing.T) {
	for name, command := range map[string]string{
		"ends on SIGQUIT": "echo start; exec sleep 500",
		"ignores SIGQUIT": "echo start; trap '' QUIT; while :; do :; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := finish(t, script(t, "--timeout", "2", "bash", "-c", command))
			if got.Status != 124 || got.Out != "start\n" {
				t.Errorf("got %+v; want status 124 after start", got)
			}
		})
	}
}

func TestCrashIsExplained(t *testing.T) {
	t.Parallel()
	got := finish(t, script(t, "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 500"))
	if got.Status != 125 || !strings.Contains(got.Errors, "anic") {
		t.Errorf("got %+v; want status 125 and the kernel's panic", got)
	}
}

// started begins a run whose command never ends, and returns it once that is under way.
func started(t *testing.T) *exec.Cmd {
	t.Helper()
	c := script(t, "sh", "-c", "echo ready; exec sleep 500")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the guest says %q, error %v", line, err)
	}
	return c
}

func TestSignals(t *testing.T) {
	// A program that nohup started, and all that it starts, never hears SIGHUP unless it says so.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	t.Cleanup(func() { signal.Reset(syscall.SIGHUP) })
	for sig, want := range map[syscall.Signal]int{syscall.SIGHUP: 129, syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			c := started(t)
			begin := time.Now()
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got := code(t, c.Wait()); got != want || time.Since(begin) > 10*time.Second {
				t.Errorf("status %d after %v; want %d at once", got, time.Since(begin), want)
			}
		})
	}
}

// TestKill: SIGKILL leaves no time to remove files, but the guest must go.
func TestKill(t *testing.T) {
	t.Parallel()
	c := started(t)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	tmp := strings.TrimPrefix(c.Env[len(c.Env)-1], "TMPDIR=") // as script has put it
	if err := os.RemoveAll(filepath.Join(tmp, only(t, tmp))); err != nil {
		t.Error(err)
	}
}

// only returns the name of the one file in dir.
func only(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%s holds %v, error %v; want one file", dir, files, err)
	}
	return files[0].Name()
}

// TestReaderGone: a run whose output nobody reads any more ends by itself.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	c := script(t, "--timeout", "200", "sh", "-c", "while :; do echo more; done")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n')
	out.Close()
	begin := time.Now()
	c.Wait()
	if took := time.Since(begin); took > 60*time.Second {
		t.Errorf("ended %v after its reader", took)
	}
}
