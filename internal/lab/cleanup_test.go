package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/netns"
)

// remains lists everything that a lab of that name has on this machine.
func remains(t *testing.T, name string) (all []string) {
	t.Helper()
	spaces, err := netns.Names("krlab-" + name + "-")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spaces {
		all = append(all, "namespace "+s)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "krlab-"+name) || strings.Contains(line, "kube-router-lab/"+name) {
			all = append(all, "mount "+line)
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range procs {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "kube-router-lab/"+name) {
			all = append(all, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	if _, err := os.Stat(lab.Dir(name)); err == nil {
		all = append(all, lab.Dir(name))
	}
	return all
}

func TestCloseLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.Start(ctx, lab.Config{Nodes: 2, NoDaemon: true, Hosts: []lab.HostConfig{{Name: "peer"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	standIn(t, l)
	if err := l.Apply(ctx, web); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	stray := l.Host("peer").Command(context.Background(), "sh", "-c", "setsid sleep 5151 & sleep 5151")
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	go stray.Wait()
	var spaces []uint64
	for _, pod := range l.Pods("default", "") {
		inode, err := pod.Space().Inode()
		if err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, inode)
	}
	if before := remains(t, l.Name()); len(before) < 8 || len(spaces) != 4 {
		t.Fatalf("the running lab shows only %q and %d pods: this test sees nothing", before, len(spaces))
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if after := remains(t, l.Name()); len(after) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(after, "\n"))
	}
	for _, inode := range spaces {
		if users := usersOf(t, inode); len(users) > 0 {
			t.Errorf("a pod's namespace is still used by %v", users)
		}
	}
}

func usersOf(t *testing.T, inode uint64) (pids []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range links {
		if to, err := os.Readlink(path); err == nil && to == fmt.Sprintf("net:[%d]", inode) {
			pids = append(pids, path)
		}
	}
	return pids
}

// TestDownAfterTheOwnerWasKilled starts a lab in another process, kills that with SIGKILL, and cleans up after it.
func TestDownAfterTheOwnerWasKilled(t *testing.T) {
	const name = "orphan"
	if os.Getenv("KRLAB_ORPHAN") != "" {
		t.Skip("this is the process to be killed")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=TestOrphan$", "-test.v")
	cmd.Env = append(os.Environ(), "KRLAB_ORPHAN="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for said.Scan() && !strings.Contains(said.Text(), "orphan is up") {
		t.Log(said.Text())
	}
	if lab.Owner(name) != cmd.Process.Pid {
		t.Errorf("owner %d, want %d", lab.Owner(name), cmd.Process.Pid)
	}
	cmd.Process.Kill()
	io.Copy(io.Discard, out)
	cmd.Wait()
	if before := remains(t, name); len(before) < 4 {
		t.Errorf("after the kill there is only %q: this test sees nothing", before)
	}
	if err := lab.Down(name); err != nil {
		t.Errorf("down: %v", err)
	}
	if after := remains(t, name); len(after) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(after, "\n"))
	}
}

// TestOrphan is the other process of TestDownAfterTheOwnerWasKilled.
func TestOrphan(t *testing.T) {
	name := os.Getenv("KRLAB_ORPHAN")
	if name == "" {
		return
	}
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Config{Name: name, Nodes: 2, NoDaemon: true})
	if err != nil {
		t.Fatal(err)
	}
	standIn(t, l)
	if err := l.Apply(ctx, web); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Println("orphan is up")
	select {}
}
