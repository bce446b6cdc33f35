package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// versions are older builds of the program, the oldest first: commits whose tables differ in form from today's. Where the
// history has been written anew, those at a third and two thirds of it take their place.
var versions = []string{"8f84cb5", "d69b52f"}

// root is where go.mod is.
const root = "../.."

func git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// commits resolves versions.
func commits(t *testing.T) (list []string) {
	t.Helper()
	text, err := git("rev-list", "HEAD")
	all := strings.Fields(text)
	if err != nil || len(all) < 10 {
		t.Fatalf("this needs the history of the repository (git fetch --unshallow): %v", err)
	}
	for i, v := range versions {
		commit, err := git("rev-parse", "--verify", "--quiet", v+"^{commit}")
		if err != nil {
			commit = all[len(all)*(len(versions)-i)/(len(versions)+1)]
		}
		list = append(list, commit)
	}
	return list
}

// built builds the programs of a commit, once.
func built(t *testing.T, commit string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, "bin", "versions", commit))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-router-cni")); err == nil {
		return dir
	}
	source := t.TempDir()
	out, err := exec.Command("bash", "-euo", "pipefail", "-c", fmt.Sprintf(
		"git -C %s archive %s | tar -x -C %s; mkdir -p %s; cd %s; CGO_ENABLED=0 go build -o %s/ ./cmd/kube-router ./cmd/kube-router-cni",
		root, commit, source, dir, source, dir)).CombinedOutput()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}
	return dir
}

// standsAs makes one directory's programs those of another, as an image is replaced.
func standsAs(t *testing.T, dir, of string) {
	t.Helper()
	for _, name := range []string{"kube-router", "kube-router-cni"} {
		next := filepath.Join(dir, "."+name)
		text, err := os.ReadFile(filepath.Join(of, name))
		err = errors.Join(err, os.WriteFile(next, text, 0o755), os.Rename(next, filepath.Join(dir, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// closedPod is a pod that nobody may talk to.
const closedPod = `
{apiVersion: v1, kind: Pod, metadata: {name: closed, labels: {pod: closed}}, spec: {containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed}, spec: {podSelector: {matchLabels: {pod: closed}}, policyTypes: [Ingress]}}
`

// steps are the builds that nodes change to: one node after the other, as a DaemonSet does it, or both at once, as somebody does by hand.
// Builds of the history lose sessions when both ends begin anew at once; how the newest comes back from that is judged, not how they do.
var steps = []struct {
	build  string
	atOnce bool
}{{"older", false}, {"newest", false}, {"oldest", false}, {"newest", false}, {"older", true}, {"newest", true}}

// TestVersions goes up and down between builds of the history, one skipped too, under load. No connection of a Service is
// lost, none comes through to a pod that a policy closes, and the newest build, wherever it comes from, is well and takes
// changes.
func TestVersions(t *testing.T) {
	old := commits(t)
	builds := map[string]string{"newest": programs, "older": built(t, old[1]), "oldest": built(t, old[0])}
	dir := t.TempDir()
	newest := programs
	standsAs(t, dir, newest)
	programs = dir
	t.Cleanup(func() { programs = newest })
	l, ctx := start(t, lab.Config{Nodes: 2, DaemonArgs: []string{"--bgp-graceful-restart"}})
	if err := l.Apply(ctx, closedPod); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"10.96.0.80", "fd00:10:96::80"} {
		serves(t, ctx, l, l.Pod("client"), web(addr))
	}
	for i, step := range steps {
		name, begun := step.build, time.Now()
		standsAs(t, dir, builds[name])
		tallies := underLoad(ctx, l, func() {
			for _, n := range l.Nodes() {
				if err := n.RestartDaemon(); err != nil {
					t.Error(err)
				}
				if !step.atOnce {
					rolled(t, ctx, l)
				}
			}
			if step.atOnce {
				rolled(t, ctx, l)
			}
			if name == "newest" {
				well(t, ctx, l)
			}
		})
		t.Logf("%d: %s, both at once: %t, took %s", i, name, step.atOnce, time.Since(begun).Round(time.Millisecond))
		for what, tally := range tallies {
			lossy := step.atOnce && name != "newest"
			if forbidden := what == "closed"; forbidden && len(tally.ByPod) > 0 || !forbidden && (!tally.OK() && !lossy || tally.Total < 50) {
				t.Errorf("step %d, to %s: %s: %s", i, name, what, tally)
			}
		}
		if name == "newest" {
			changes(t, ctx, l, i)
		}
	}
}

// underLoad does something while the Services' fronts, and the pod that is closed, are asked all the time.
func underLoad(ctx context.Context, l *lab.Lab, do func()) map[string]*probe.Tally {
	ctx, stop := context.WithCancel(ctx)
	var load sync.WaitGroup
	var mu sync.Mutex
	tallies := map[string]*probe.Tally{}
	client := l.Pod("client")
	for what, q := range map[string]probe.Request{
		"IPv4": web("10.96.0.80"), "IPv6": web("fd00:10:96::80"),
		"closed": {To: web("10.96.0.80").To, Timeout: 300 * time.Millisecond},
	} {
		rate := 50
		if what == "closed" {
			q.To, rate = netip.AddrPortFrom(l.Pod("closed").IPv4(), 8080), 20
		}
		load.Go(func() {
			tally, err := client.Load(ctx, q, rate, 8)
			if err != nil {
				tally = &probe.Tally{ByClass: map[probe.Class]int{probe.Failed: 1}}
			}
			mu.Lock()
			defer mu.Unlock()
			tallies[what] = tally
		})
	}
	do()
	stop()
	load.Wait()
	return tallies
}

// minReady is for how long a node must have been ready before a DaemonSet's update goes on (minReadySeconds of deploy/kustomize/base). Builds of
// the history need it between two nodes, and what a change loses late is lost in this time.
const minReady = 5 * time.Second

// rolled waits as a DaemonSet's update does before it goes on to the next node: until every node is ready, with its session and the routes that
// it learned by it, and for minReady.
func rolled(t *testing.T, ctx context.Context, l *lab.Lab) {
	t.Helper()
	for i, n := range l.Nodes() {
		eventually(t, ctx, l, n.Name+" to be ready", 30*time.Second, func() error { return ready(n) })
		eventually(t, ctx, l, n.Name+" to have its session", 60*time.Second, func() error {
			text, err := n.Run(ctx, filepath.Join(programs, "kube-router"), "show", "peers")
			if err != nil || !strings.Contains(strings.ToLower(text), "established") {
				return fmt.Errorf("%v: %s", err, text)
			}
			return nil
		})
		other := l.Nodes()[1-i]
		for family, prefix := range []string{fmt.Sprintf("10.244.%d.0/24", 2-i), fmt.Sprintf("fd00:10:244:%d::/64", 2-i)} {
			eventually(t, ctx, l, n.Name+" to have its route to "+prefix, 30*time.Second, func() error {
				text, err := n.Run(ctx, "ip", "route", "get", netip.MustParsePrefix(prefix).Addr().Next().String())
				if err != nil || !strings.Contains(text, "via "+other.Addrs()[family].String()) {
					return fmt.Errorf("%v: %s", err, text)
				}
				return nil
			})
		}
	}
	time.Sleep(minReady)
}

// ready asks a node's readiness.
func ready(n *lab.Node) error {
	return n.Do(func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:20244", time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprint(c, "GET /readyz HTTP/1.0\r\n\r\n")
		text, err := io.ReadAll(c)
		if err == nil && !strings.Contains(string(text), " 200 ") {
			err = errors.New(string(text))
		}
		return err
	})
}

// well waits until every daemon says so, and nothing fails.
func well(t *testing.T, ctx context.Context, l *lab.Lab) {
	t.Helper()
	for _, n := range l.Nodes() {
		eventually(t, ctx, l, n.Name+" to be well", 30*time.Second, func() error {
			text, err := n.Run(ctx, filepath.Join(programs, "kube-router"), "show", "summary", "-o", "json")
			if err != nil || !strings.Contains(text, `"state": "well"`) || !strings.Contains(text, `"failing": "0"`) {
				return fmt.Errorf("%v: %s", err, text)
			}
			return nil
		})
	}
}

// changes makes one more Service and waits until it answers.
func changes(t *testing.T, ctx context.Context, l *lab.Lab, i int) {
	t.Helper()
	addr := fmt.Sprintf("10.96.1.%d", i+1)
	if err := l.Apply(ctx, fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: step%d}, spec: {clusterIP: %s, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}", i, addr)); err != nil {
		t.Fatal(err)
	}
	serves(t, ctx, l, l.Pod("client"), web(addr))
}
