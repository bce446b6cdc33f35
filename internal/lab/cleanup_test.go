package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// TestOthersNamesDontHold has somebody else name a network namespace while a lab runs, on its host and on a node: the first one binds
// /run/netns over itself unless that was done.
func TestOthersNamesDontHold(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l, err := lab.Start(ctx, lab.Config{Nodes: 1, NoDaemon: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stranger := "stranger-" + l.Name()
	if text, err := exec.Command("ip", "netns", "add", stranger).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	defer func() {
		if text, err := exec.Command("ip", "netns", "del", stranger).CombinedOutput(); err != nil {
			t.Errorf("the stranger's namespace: %v %s", err, text)
		}
	}()
	standIn(t, l)
	if err := l.Apply(ctx, web); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if text, err := l.Node("n1").Command(ctx, "ip", "netns", "add", "stranger").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	if err := l.Delete(ctx, web); err != nil {
		t.Fatal(err)
	}
	for pins := "?"; strings.Contains(pins, "cni-") || pins == "?"; time.Sleep(100 * time.Millisecond) {
		text, err := l.Node("n1").Command(ctx, "ls", netns.Dir).CombinedOutput()
		if pins = string(text); err != nil || ctx.Err() != nil {
			t.Fatalf("pods that went are still named on their node: %v\n%s", err, pins)
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if after := remains(t, l.Name()); len(after) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(after, "\n"))
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

// TestDownAfterACrashWhileStarting kills a lab at several points of its start; each time Running names it and Down leaves nothing.
func TestDownAfterACrashWhileStarting(t *testing.T) {
	const name = "crashed"
	for i, after := range []string{"CNI plugins", "namespaces and cables", "API server", "control plane and kubelets"} {
		cmd := exec.Command("/proc/self/exe", "-test.run=TestOrphan$", "-test.v")
		cmd.Env = append(os.Environ(), "KRLAB_ORPHAN="+name)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for said.Scan() && !strings.Contains(said.Text(), after) {
		}
		cmd.Process.Kill()
		io.Copy(io.Discard, out)
		cmd.Wait()
		if i == 1 { // a crash of lab down itself may leave no more than this
			os.RemoveAll(lab.Dir(name))
		}
		if !slices.Contains(lab.Running(), name) {
			t.Errorf("killed after %q: not among %v", after, lab.Running())
		}
		if err := lab.Down(name); err != nil {
			t.Errorf("killed after %q: down: %v", after, err)
		}
		if left := remains(t, name); len(left) > 0 {
			t.Errorf("killed after %q: left behind:\n%s", after, strings.Join(left, "\n"))
		}
	}
}

// Nothing outside of the labs' own directory is removed.
func TestDownOfNoName(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "UPPER"} {
		if err := lab.Down(name); err == nil {
			t.Errorf("down of %q: no error", name)
		}
	}
}

// TestOrphan is the other process of TestDownAfterTheOwnerWasKilled.
func TestOrphan(t *testing.T) {
	name := os.Getenv("KRLAB_ORPHAN")
	if name == "" {
		return
	}
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Config{Name: name, Nodes: 2, NoDaemon: true, Progress: func(stage string, _ time.Duration) { fmt.Println(stage) }})
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
