package gobgp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// pid is the process of the speaker in dir; 0: none.
func pid(t testing.TB, dir string) int {
	t.Helper()
	text, err := os.ReadFile(dir + "/" + lockName)
	if err != nil {
		return 0
	}
	var n int
	fmt.Sscan(string(text), &n)
	return n
}

// until waits for a condition.
func until(t testing.TB, what string, limit time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// answers tells whether the speaker in dir answers.
func answers(dir string) bool {
	c, err := dial(Socket(dir))
	if err != nil {
		return false
	}
	defer c.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = c.GetBgp(ctx, &api.GetBgpRequest{})
	return err == nil
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

func supervisor(t testing.TB, dir, token string) *Supervisor {
	return &Supervisor{Dir: dir, Path: "/usr/bin/env", Args: command(dir, token), Token: token, Log: logger(t)}
}

// TestSpeakerComesBack after it died, and after it was told to stop.
func TestSpeakerComesBack(t *testing.T) {
	dir := t.TempDir()
	runs(t, supervisor(t, dir, "v1"))
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another one answers", 10*time.Second, func() bool { return pid(t, dir) != first && answers(dir) })
}

// TestSpeakerComesBackAtOnce even when it dies at the moment in which it is asked how it is.
func TestSpeakerComesBackAtOnce(t *testing.T) {
	dir := t.TempDir()
	runs(t, supervisor(t, dir, "v1"))
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(beat + 500*time.Millisecond) // now it is being asked
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another one answers", answer/2, func() bool { return pid(t, dir) != first && answers(dir) })
}

// TestRowsComeBack when the speaker does: the driver says that everything is gone, and fills the next one.
func TestRowsComeBack(t *testing.T) {
	dir := supervised(t)
	d := driver(t, dir)
	want := conform.Index[row.BgpKey](rows(30))
	if err := d.Apply(t.Context(), conform.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 100)
	go d.Watch(t.Context(), func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	<-changed
	first := pid(t, dir)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody tells that the speaker died")
	}
	until(t, "another one answers", 10*time.Second, func() bool { return pid(t, dir) != first && answers(dir) })
	have, err := d.Dump(t.Context())
	if err != nil || len(have) > 0 {
		t.Fatalf("a fresh speaker holds %v, %v", have, err)
	}
	if err = d.Apply(t.Context(), conform.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	if have, err = d.Dump(t.Context()); err != nil || len(conform.Diff(have, want)) > 0 {
		t.Fatalf("it holds %v, %v", conform.Diff(have, want), err)
	}
}

// TestHang kills a speaker that stops answering.
func TestHang(t *testing.T) {
	dir := t.TempDir()
	runs(t, supervisor(t, dir, "v1"))
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "another one answers", missed*(answer+beat)+10*time.Second, func() bool { return pid(t, dir) != first && answers(dir) })
	if alive(first) {
		t.Error("the hanging speaker is still there")
	}
}

// TestAdopt leaves a speaker to the next life of the daemon, which replaces it when it wants another one.
func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	one := supervisor(t, dir, "v1")
	one.Graceful = true
	stop := runs(t, one)
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	stop()
	if !alive(first) || !answers(dir) {
		t.Fatal("the speaker did not outlive its daemon")
	}
	stop = runs(t, supervisor(t, dir, "v1"))
	time.Sleep(beat + 500*time.Millisecond)
	if pid(t, dir) != first || !answers(dir) {
		t.Fatal("the next daemon has another speaker")
	}
	stop()
	until(t, "a daemon that isn't graceful takes its speaker along", 5*time.Second, func() bool { return !answers(dir) })

	stop = runs(t, one)
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first = pid(t, dir)
	stop()
	runs(t, supervisor(t, dir, "v2"))
	until(t, "another version's speaker answers", 10*time.Second, func() bool { return pid(t, dir) != first && answers(dir) })
}

// TestOrphan ends by itself when no daemon asks any more.
func TestOrphan(t *testing.T) {
	dir := t.TempDir()
	s := supervisor(t, dir, "v1")
	s.Args, s.Graceful = command(dir, "v1", "TEST_ORPHAN=3s"), true
	stop := runs(t, s)
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	time.Sleep(4 * time.Second)
	if pid(t, dir) != first {
		t.Fatal("it ended although its daemon was there")
	}
	stop()
	until(t, "the orphan ends", 15*time.Second, func() bool {
		c, err := net.Dial("unix", Socket(dir))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// TestStop ends what another life left, and removes its files.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	if err := Stop(dir); err != nil {
		t.Fatal(err)
	}
	s := supervisor(t, dir, "v1")
	s.Graceful = true
	stop := runs(t, s)
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	stop()
	if err := Stop(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestOneSpeaker lets no second one into the same place.
func TestOneSpeaker(t *testing.T) {
	dir := supervised(t)
	until(t, "the speaker answers", 10*time.Second, func() bool { return answers(dir) })
	first := pid(t, dir)
	args := command(dir, "v1")
	out, err := (&exec.Cmd{Path: "/usr/bin/env", Args: args}).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another speaker is at work") {
		t.Errorf("%v: %s", err, out)
	}
	if pid(t, dir) != first || !answers(dir) {
		t.Error("the first one suffered")
	}
}

// TestSecretsStayInside shows passwords to the daemon alone: not to people over TCP, not on the command
// line, not in what the speaker says.
func TestSecretsStayInside(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var said bytes.Buffer
	s := supervisor(t, dir, "v1")
	s.Log = slog.New(slog.NewTextHandler(writer(func(p []byte) { mu.Lock(); said.Write(p); mu.Unlock() }), nil))
	runs(t, s)
	d := driver(t, dir)
	const secret = "hunter2"
	list := rows(20)
	for i, r := range list {
		if p, ok := r.(row.BgpPeer); ok && p.Password != "" {
			p.Password = secret
			list[i] = p
		}
	}
	if err := d.Apply(t.Context(), conform.Diff(nil, conform.Index[row.BgpKey](list))); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().String()
	free.Close()
	admin := &Admin{Dir: dir, Addrs: []string{port}, Log: logger(t)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { admin.Run(ctx); close(done) }()
	until(t, "the port is open", 5*time.Second, func() bool {
		c, failure := net.Dial("tcp", port)
		if failure == nil {
			c.Close()
		}
		return failure == nil
	})
	for target, want := range map[string]string{"unix://" + Socket(dir): secret, port: "(secret)"} {
		c, failure := connect(target)
		if failure != nil {
			t.Fatal(failure)
		}
		var have []string
		stream, failure := c.ListPeer(t.Context(), &api.ListPeerRequest{})
		if err = each[api.ListPeerResponse](stream, failure, func(m *api.ListPeerResponse) {
			if m.Peer.Conf.AuthPassword != "" {
				have = append(have, m.Peer.Conf.AuthPassword)
			}
		}); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if len(have) != 1 || have[0] != want {
			t.Errorf("%s shows %q, want %q", target, have, want)
		}
		c.conn.Close()
	}
	cancel()
	<-done
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid(t, dir)))
	mu.Lock()
	defer mu.Unlock()
	if err != nil || bytes.Contains(line, []byte(secret)) || bytes.Contains(said.Bytes(), []byte(secret)) {
		t.Errorf("the password shows in %q or %q (%v)", line, said.String(), err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
