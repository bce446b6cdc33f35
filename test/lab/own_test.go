package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// plugin has the node's daemon stand in for the other plugins, or not, and waits until its list says so.
func (n *runtimeNode) plugin(l *lab.Lab, mode string) {
	n.t.Helper()
	if err := n.RestartDaemon("--cni-plugin=" + mode); err != nil {
		n.t.Fatal(err)
	}
	n.has(l, mode)
}

// has waits until the node's list is that of a mode.
func (n *runtimeNode) has(l *lab.Lab, mode string) {
	n.t.Helper()
	want := map[string]string{"own": "kube-router-cni", "chain": "bridge host-local portmap bandwidth kube-router-cni"}[mode]
	eventually(n.t, n.ctx, l, "the list of --cni-plugin="+mode, 30*time.Second, func() error {
		if out, err := n.try("PLUGINS"); err != nil || strings.TrimSpace(out) != want {
			return fmt.Errorf("plugins %s: %v", out, err)
		}
		_, err := n.try("STATUS")
		return err
	})
}

// plugins are the programs of a list, in order.
func plugins(list *libcni.NetworkConfigList) string {
	var names []string
	for _, p := range list.Plugins {
		names = append(names, p.Network.Type)
		if ipam := p.Network.IPAM.Type; ipam != "" {
			names = append(names, ipam)
		}
	}
	return strings.Join(names, " ")
}

// TestOwnPlugin has libcni work with the list of which kube-router-cni is the only plugin, through all verbs; beside pods of the chain, there and back.
func TestOwnPlugin(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	n := &runtimeNode{l.Nodes()[0], t, ctx}
	n.install()
	n.plugin(l, "own")
	n.collects()
	n.lives("c11", "")
	n.lives("c10", older)
	n.plugin(l, "chain")
	before := n.sandbox("", "before")
	n.plugin(l, "own")
	after := n.sandbox("", "after")
	n.does("CHECK", "before")
	n.meet("before", "after", after)
	n.meet("after", "before", before)
	n.fixed(l)
	n.limited(l)

	n.does("DEL", "before")
	n.plugin(l, "chain")
	n.does("CHECK", "after")
	again := n.sandbox("", "again")
	n.meet("after", "again", again)
	n.does("DEL", "after")
	n.does("DEL", "again")
	n.sh("for n in before after again; do ip netns del $n; done")
	n.clean("before", "after", "again")
}

// meet has one container reach the addresses of another.
func (n *runtimeNode) meet(from, to string, addrs []string) {
	n.t.Helper()
	for _, a := range addrs {
		// Nobody listens there, and so says the other end.
		out, err := n.Run(n.ctx, "ip", "netns", "exec", from, "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/"+a+"/8080")
		if err == nil || !strings.Contains(out, "refused") {
			n.t.Errorf("%s doesn't reach %s at %s: %v\n%s", from, to, a, err, out)
		}
	}
}

// clean sees to it that containers have neither addresses nor links.
func (n *runtimeNode) clean(gone ...string) {
	n.t.Helper()
	for name, owner := range n.leases() {
		if slices.Contains(gone, owner) {
			n.t.Errorf("%s is still %s's", name, owner)
		}
	}
}

// fixed gives pods the addresses that their annotation asks for, and refuses what it can't give.
func (n *runtimeNode) fixed(l *lab.Lab) {
	n.t.Helper()
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {kube-router.io/fixed-ips: "%s"}}
spec: {nodeName: n1, containers: [{name: c, image: lab}]}
`
	wanted := []netip.Addr{netip.MustParseAddr("10.244.1.77"), netip.MustParseAddr("fd00:10:244:1::77")}
	if ranges := n.sh("cat %s/*", confDir); !strings.Contains(ranges, "10.244.1.0/24") || !strings.Contains(ranges, "fd00:10:244:1::/64") {
		n.t.Fatalf("the node's ranges are others:\n%s", ranges)
	}
	if err := l.Apply(n.ctx, fmt.Sprintf(pod, "fixed", "10.244.1.77, fd00:10:244:1::77")); err != nil {
		n.t.Fatal(err)
	}
	if err := l.WaitReady(n.ctx); err != nil {
		n.t.Fatal(err)
	}
	if got := l.Pod("fixed").Addrs(); !slices.Equal(got, wanted) {
		n.t.Errorf("a pod that asks for %s has %s", wanted, got)
	}
	for name, c := range map[string]struct{ ips, why string }{
		"taken":  {"10.244.1.77", "code 11: .*10.244.1.77 is taken by container"},
		"beyond": {"10.99.0.1", "code 7: .*10.99.0.1 is not one that this node may give"},
		"wrong":  {"10.244.1.300", "code 7: .*is not an address"},
	} {
		text := strings.NewReplacer("spec: {nodeName: n1", "spec: {nodeName: nowhere").Replace(fmt.Sprintf(pod, name, c.ips))
		if err := l.Apply(n.ctx, text); err != nil {
			n.t.Fatal(err)
		}
		n.sh("ip netns add %s", name)
		_, err := n.try("ADD", name, name)
		if err == nil || !matches(c.why, err.Error()) {
			n.t.Errorf("a pod that asks for %s: %v, want %s", c.ips, err, c.why)
		}
		n.sh("ip netns del %s", name)
		n.clean(name)
		if err := l.Delete(n.ctx, text); err != nil {
			n.t.Fatal(err)
		}
	}
}

// limited gives a pod the bandwidth that its annotations allow, and opens its host port; nothing of both is left when it goes.
func (n *runtimeNode) limited(l *lab.Lab) {
	n.t.Helper()
	const limited = `
apiVersion: v1
kind: Pod
metadata: {name: limited, annotations: {kubernetes.io/ingress-bandwidth: 8M, kubernetes.io/egress-bandwidth: 16M}}
spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080, hostPort: 8088}]}]}
`
	if err := l.Apply(n.ctx, limited); err != nil {
		n.t.Fatal(err)
	}
	if err := l.WaitReady(n.ctx); err != nil {
		n.t.Fatal(err)
	}
	if out := n.sh("tc qdisc"); !matches(`tbf .*dev vethk.*rate 8Mbit`, out) || !matches(`tbf .*dev bwp.*rate 16Mbit`, out) {
		n.t.Errorf("limits of 8M and 16M:\n%s", out)
	}
	serves(n.t, n.ctx, l, l.Outside(), probe.Request{To: netip.AddrPortFrom(n.IPv4(), 8088)})
	if err := errors.Join(l.Delete(n.ctx, limited), l.WaitGone(n.ctx, "default", "limited")); err != nil {
		n.t.Fatal(err)
	}
	if out := n.sh("ip -o link show type ifb; tc qdisc show"); strings.Contains(out, "bwp") || strings.Contains(out, "8Mbit") {
		n.t.Errorf("left of a pod with limits:\n%s", out)
	}
}

// TestKilledPluginLeaksNothing kills the only plugin at random moments of ADD. A runtime that goes on disconnects some of the containers; of others
// it knows nothing any more, as after a crash of its own: GC finds those, and so do the first ADD and the daemon after the node's own start.
func TestKilledPluginLeaksNothing(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{"--cni-plugin=own"}})
	n := &runtimeNode{l.Nodes()[0], t, ctx}
	n.install()
	n.plugin(l, "own")
	kept := n.leases()
	t.Log(n.does("KILL", "", "200"))
	n.age()
	n.does("GC", append([]string{""}, owners(kept)...)...)
	n.same(kept, "after kill -9")

	// The node's own start: /run is empty, the leases are there.
	for _, by := range []string{"the first ADD", "the daemon"} {
		n.sandbox("", "gone")
		n.sh("ip netns del gone")
		n.age()
		if err := n.StopDaemon(); err != nil {
			t.Fatal(err)
		}
		n.sh("rm -rf /run/kube-router/*")
		if by == "the first ADD" { // the daemon finds nothing that names namespaces
			n.sh("mv /var/lib/cni/results /var/lib/cni/elsewhere")
		}
		if err := n.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		n.has(l, "own")
		if by == "the first ADD" {
			n.sh("mv /var/lib/cni/elsewhere /var/lib/cni/results")
			n.sandbox("", "first")
			n.does("DEL", "first")
			n.sh("ip netns del first")
		}
		n.same(kept, "after the node's own start, by "+by)
	}
}

// age makes all leases older than an ADD may last.
func (n *runtimeNode) age() {
	n.t.Helper()
	n.sh("cd %s; touch -d '2 minutes ago' */*", leaseDir)
}

func owners(leases map[string]string) (list []string) {
	for _, owner := range leases {
		if len(owner) == 32 { // a pod of the lab
			list = append(list, owner)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// same compares leases with those of before, and links with leases.
func (n *runtimeNode) same(kept map[string]string, when string) {
	n.t.Helper()
	have := n.leases()
	for name, owner := range have {
		if _, there := kept[name]; !there && name != "mynet/lock" && !strings.Contains(name, "last_reserved") {
			n.t.Errorf("%s: %s of %q leaked", when, name, owner)
		}
	}
	for name := range kept {
		if _, there := have[name]; !there {
			n.t.Errorf("%s: %s is gone", when, name)
		}
	}
	links := strings.Count(n.sh("ip -o link show type veth; ip -o link show type ifb"), "\n")
	if want := len(owners(kept)) + 1; links > want { // and eth0
		n.t.Errorf("%s: %d links, want %d:\n%s", when, links, want, n.sh("ip -br link"))
	}
}

// kill starts ADDs, and kills each at a random moment. It tells how far they came.
func kill(ctx context.Context, list *libcni.NetworkConfigList, many int) (string, error) {
	text, err := oneConf(list)
	if err != nil {
		return "", err
	}
	cni := libcni.NewCNIConfig([]string{pluginDir}, nil)
	begun, done := time.Now(), 0
	for i := range many {
		name := fmt.Sprintf("k%d", i)
		conf := sandboxConf(name, "client")
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		if i == 0 { // how long it takes
			at := time.Now()
			if err := run(ctx, text, conf, time.Minute); err != nil {
				return "", err
			}
			begun = at
			done = int(time.Since(begun))
		} else if err := run(ctx, text, conf, time.Duration(rand.Float64()*1.2*float64(done))); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return "", err
		}
		if i%2 == 0 {
			if err := cni.DelNetworkList(ctx, list, conf); err != nil {
				return "", err
			}
		}
		if i%4 < 3 { // that of the others lives on as long as the node
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				return "", fmt.Errorf("%w: %s", err, out)
			}
		}
	}
	return fmt.Sprintf("%d ADDs killed, each within %s", many, time.Duration(done*12/10).Round(time.Millisecond)), nil
}

// run runs the plugin's ADD, for so long at most.
func run(ctx context.Context, text []byte, conf *libcni.RuntimeConf, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(pluginDir, "kube-router-cni"))
	cmd.Stdin = bytes.NewReader(text)
	cmd.Env = append(os.Environ(), "CNI_COMMAND=ADD", "CNI_CONTAINERID="+conf.ContainerID, "CNI_NETNS="+conf.NetNS, "CNI_IFNAME=eth0", "CNI_PATH="+pluginDir,
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=client")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%w: %s", err, out))
	}
	return nil
}

// oneConf is what the only plugin of a list is given, with limits of bandwidth, so that there is more to leave behind.
func oneConf(list *libcni.NetworkConfigList) ([]byte, error) {
	fields := map[string]any{}
	if len(list.Plugins) != 1 {
		return nil, errors.New("more plugins than one")
	}
	if err := json.Unmarshal(list.Plugins[0].Bytes, &fields); err != nil {
		return nil, err
	}
	fields["name"], fields["cniVersion"] = list.Name, list.CNIVersion
	fields["runtimeConfig"] = map[string]any{"bandwidth": map[string]int{"ingressRate": 1e7, "ingressBurst": 1e7, "egressRate": 1e7, "egressBurst": 1e7}}
	return json.Marshal(fields)
}

func sandboxConf(container, pod string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: container, NetNS: "/run/netns/" + container, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", pod}},
	}
}

// matches tells whether a pattern is found in a text.
func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
