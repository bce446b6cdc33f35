package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const (
	pluginDir = "/opt/cni/bin"
	confDir   = "/etc/cni/net.d"
	leaseDir  = "/var/lib/cni/networks"
)

// containerRuntime is what a container runtime does for one sandbox, by libcni, on the node where it runs: its arguments are a verb, the container, and
// for ADD the name of the pod, for GC those that live. It prints what libcni says.
func containerRuntime(args []string) int {
	if err := runtimeDoes(args[0], args[1], args[2:]); err != nil {
		var e *types.Error
		if errors.As(err, &e) {
			err = fmt.Errorf("code %d: %w", e.Code, err)
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runtimeDoes(verb, container string, living []string) error {
	ctx := context.Background()
	files, err := libcni.ConfFiles(confDir, []string{".conflist"})
	if err != nil || len(files) != 1 {
		return fmt.Errorf("configurations in %s: %v: %w", confDir, files, err)
	}
	list, err := libcni.NetworkConfFromFile(files[0])
	verb, older := strings.CutPrefix(verb, older)
	if older && err == nil {
		list, err = asOlder(files[0])
	}
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfig([]string{pluginDir}, nil)
	pod := "client"
	if verb == "ADD" && len(living) > 0 {
		pod = living[0]
	}
	conf := sandboxConf(container, pod)
	switch verb {
	case "PLUGINS":
		fmt.Println(plugins(list))
	case "KILL", "RACE":
		many, err := strconv.Atoi(living[0])
		if err != nil {
			return err
		}
		does := map[string]func(context.Context, *libcni.NetworkConfigList, int) (string, error){"KILL": kill, "RACE": race}
		said, err := does[verb](ctx, list, many)
		fmt.Println(said)
		return err
	case "VERSION":
		fmt.Println(list.CNIVersion)
	case "ADD":
		out, err := cni.AddNetworkList(ctx, list, conf)
		if err != nil {
			return err
		}
		result, err := types100.NewResultFromResult(out)
		if err != nil {
			return err
		}
		for _, ip := range result.IPs {
			fmt.Println(ip.Address.IP)
		}
	case "CHECK":
		return cni.CheckNetworkList(ctx, list, conf)
	case "DEL":
		return cni.DelNetworkList(ctx, list, conf)
	case "STATUS":
		return cni.GetStatusNetworkList(ctx, list)
	case "GC":
		var valid []types.GCAttachment
		for _, l := range living {
			valid = append(valid, types.GCAttachment{ContainerID: l, IfName: "eth0"})
		}
		return cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
	}
	return nil
}

// older before a verb is a runtime whose libcni is older than 1.2.
const older = "older-"

// asOlder reads a list as a library does that doesn't know its field cniVersions.
func asOlder(file string) (*libcni.NetworkConfigList, error) {
	text, err := os.ReadFile(file)
	fields := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return nil, err
	}
	delete(fields, "cniVersions")
	if text, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(text)
}

// runtimeNode is a node with the plugins where the manifests install them, and a container runtime.
type runtimeNode struct {
	*lab.Node
	t   *testing.T
	ctx context.Context
}

func (n *runtimeNode) sh(script string, args ...any) string {
	n.t.Helper()
	out, err := n.Run(n.ctx, "bash", "-euc", fmt.Sprintf(script, args...))
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// try has the runtime do something.
func (n *runtimeNode) try(verb string, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if len(args) == 0 {
		args = []string{""}
	}
	out, err := n.Run(n.ctx, self, append([]string{"runtime", verb}, args...)...)
	if err != nil {
		err = fmt.Errorf("%s %v: %w: %s", verb, args, err, out)
	}
	return out, err
}

func (n *runtimeNode) does(verb string, args ...string) string {
	n.t.Helper()
	out, err := n.try(verb, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// leases are who has an address of host-local, by address; names of files that are none are there too.
func (n *runtimeNode) leases() map[string]string {
	n.t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(n.sh("cd %s; for f in */*; do echo $f $(tr -d '\\r' <$f | head -n1); done", leaseDir)) {
		name, owner, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[name] = owner
	}
	return found
}

// install puts the plugins into the node's directory, as the manifests' init container does.
func (n *runtimeNode) install() {
	n.t.Helper()
	dir := n.t.TempDir()
	build := exec.CommandContext(n.ctx, "go", "build", "-o", dir+"/", "kube-router/cmd/cni-install")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	ours := filepath.Join(dir, "ours")
	text, err := os.ReadFile(filepath.Join(programs, "kube-router-cni"))
	if err := errors.Join(err, os.Mkdir(ours, 0o755), os.WriteFile(filepath.Join(ours, "kube-router-cni"), text, 0o755)); err != nil {
		n.t.Fatal(err)
	}
	for _, from := range []string{n.PluginDir(), ours} {
		n.sh("%s/cni-install --from=%s --to=%s", dir, from, pluginDir)
	}
}

// sandbox makes a network namespace for a container, and has it connected by a runtime of that age.
func (n *runtimeNode) sandbox(age, container string) []string {
	n.t.Helper()
	n.sh("ip netns add %s", container)
	return strings.Fields(n.does(age+"ADD", container))
}

// TestContainerRuntime has libcni, as containerd and CRI-O call it, work with the list that we write: all verbs of CNI 1.1, and those of
// 1.0.0 for a runtime that knows no more.
func TestContainerRuntime(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	n := &runtimeNode{l.Nodes()[0], t, ctx}
	n.install()
	if err := n.RestartDaemon(); err != nil { // plugins are installed before a daemon begins
		t.Fatal(err)
	}
	version := func(want string) {
		t.Helper()
		eventually(t, ctx, l, "a list of CNI "+want, 30*time.Second, func() error {
			if out, err := n.try("VERSION"); err != nil || strings.TrimSpace(out) != want {
				return fmt.Errorf("%v: version %s\n%s", err, out, n.sh("cat %s/*", confDir))
			}
			return nil
		})
	}
	version("1.1.0")
	n.status(l)
	n.collects()
	n.lives("c11", "")
	if out := n.does(older + "VERSION"); strings.TrimSpace(out) != "1.0.0" {
		t.Errorf("to an older runtime the list is of version %s", out)
	}
	n.lives("c10", older)
}

// status is not ready where the daemon doesn't run, and where it doesn't know the cluster yet, as after the node's own start: the list is there
// since before.
func (n *runtimeNode) status(l *lab.Lab) {
	n.t.Helper()
	n.does("STATUS")
	if err := n.StopDaemon(); err != nil {
		n.t.Fatal(err)
	}
	n.does("STATUS") // an update of the daemon is no reason to move pods
	n.sh("rm /run/kube-router/was-ready")
	refused := func(why string) {
		n.t.Helper()
		if _, err := n.try("STATUS"); err == nil || !strings.Contains(err.Error(), "code 50") || !strings.Contains(err.Error(), why) {
			n.t.Errorf("STATUS says %v, want code 50 (plugin not available) and %q", err, why)
		}
	}
	refused("no answer from kube-router")
	if err := errors.Join(l.SetAPIDown(true), n.StartDaemon()); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, n.ctx, l, "the daemon answers", 30*time.Second, func() error {
		if _, err := n.try("STATUS"); err == nil || !strings.Contains(err.Error(), "still reading") {
			return fmt.Errorf("STATUS says %v", err)
		}
		return nil
	})
	refused("still reading the cluster")
	if err := l.SetAPIDown(false); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, n.ctx, l, "ready", 30*time.Second, func() error { _, err := n.try("STATUS"); return err })
}

// collects leaves addresses behind in every way there is, and has those of containers that are gone freed, and nothing else.
func (n *runtimeNode) collects() {
	n.t.Helper()
	kept := n.leases()
	var living []string
	for _, owner := range kept {
		if len(owner) == 32 { // a pod of the lab
			living = append(living, owner)
		}
	}
	alive := n.sandbox("", "alive")
	living = append(living, "alive")
	gone := append(n.sandbox("", "unknown"), n.sandbox("", "gone")...) // one that libcni has forgotten, and one that it remembers
	n.sh(`ip netns del gone; ip netns del unknown; rm /var/lib/cni/results/*unknown*
		cd %s; mkdir other; echo stranger >other/10.9.9.9; echo text >mynet/notes
		touch -d '2 minutes ago' */*`, leaseDir)
	slices.Sort(living)
	n.does("GC", append([]string{""}, slices.Compact(living)...)...)
	have := n.leases()
	for _, a := range gone {
		if owner, there := have["mynet/"+a]; there {
			n.t.Errorf("%s is still %s's", a, owner)
		}
	}
	kept["other/10.9.9.9"], kept["mynet/notes"] = "stranger", "text"
	for _, a := range alive {
		kept["mynet/"+a] = "alive"
	}
	for name, owner := range kept {
		if strings.Contains(name, "last_reserved") {
			owner = have[name]
		}
		if have[name] != owner {
			n.t.Errorf("%s is %q's, was %q's", name, have[name], owner)
		}
	}
	n.does("CHECK", "alive")
	n.does("DEL", "alive")
	n.sh("ip netns del alive; rm -r %s/other %[1]s/mynet/notes", leaseDir)
}

// lives goes through the life of a container with a runtime of that age; the second DEL finds nothing.
func (n *runtimeNode) lives(container, age string) {
	n.t.Helper()
	addrs := n.sandbox(age, container)
	if len(addrs) != 2 {
		n.t.Fatalf("%s has addresses %v", container, addrs)
	}
	n.does(age+"CHECK", container)
	for _, a := range addrs {
		if r := n.Probe(probe.Request{To: netip.AddrPortFrom(netip.MustParseAddr(a), 8080), Timeout: 5 * time.Second}); r.Class != probe.Refused { // nobody listens there
			n.t.Errorf("%s at %s: %s", container, a, r)
		}
	}
	n.sh("ip netns exec %s ip link set eth0 down; ip netns exec %[1]s ip addr flush dev eth0", container)
	if _, err := n.try(age+"CHECK", container); err == nil {
		n.t.Errorf("CHECK is content with %s, whose interface has no address", container)
	}
	for range 2 {
		n.does(age+"DEL", container)
	}
	n.sh("ip netns del %s", container)
	n.does(age+"DEL", container)
	for name, owner := range n.leases() {
		if owner == container {
			n.t.Errorf("%s is %s's after DEL", name, owner)
		}
	}
}
