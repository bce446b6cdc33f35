package operate

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/podserver"
)

// bin is the program under test.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kube-router-operate")
	if err == nil {
		err = os.Chmod(dir, 0o755) // others run it, too
	}
	if err == nil {
		bin, err = program(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// The node's addresses and those of the machine beside it.
var (
	nodeIP    = netip.MustParseAddr("172.31.77.1")
	outsideIP = netip.MustParseAddr("172.31.77.2")
)

// node is a network namespace with an uplink, an API server of its own, and pods on links of their own.
type node struct {
	t       *testing.T
	space   *netns.Space
	outside *netns.Space // a machine at the other end of the uplink
	api     *apiserver.Server
	dir     string
	args    []string
	daemon  *netns.Cmd
	log     *bytes.Buffer
}

// newNode makes the node n1 with an API server that knows it.
func newNode(t *testing.T, args ...string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), args: args}
	n.space, n.outside = n.newSpace(), n.newSpace()
	uplink := func(s *netns.Space, a netip.Addr) netns.End {
		return netns.End{Space: s, Name: "eth0", Addrs: []netip.Prefix{netip.PrefixFrom(a, 24)}}
	}
	n.check(netns.Cable(1500, uplink(n.space, nodeIP), uplink(n.outside, outsideIP)))
	n.check(n.outside.Route(netip.MustParsePrefix("0.0.0.0/0"), nodeIP))
	n.serve()
	n.apply(`
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: ` + nodeIP.String() + `}]}
`)
	n.check(os.Mkdir(filepath.Join(n.dir, "cni"), 0o755))
	return n
}

func (n *node) newSpace() *netns.Space {
	n.t.Helper()
	s, err := netns.New()
	n.check(err)
	n.t.Cleanup(func() { s.Close() })
	n.check(s.Prepare())
	return s
}

// serve runs the API server on the node's loopback.
func (n *node) serve() {
	n.t.Helper()
	api, err := apiserver.New(apiserver.Options{})
	n.check(err)
	var l net.Listener
	n.check(n.space.Do(func() error {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = api.Run(ctx, l) }()
	n.t.Cleanup(func() { cancel(); <-done })
	n.api = api
	n.check(os.WriteFile(n.path("kubeconfig"), api.Kubeconfig("http://"+l.Addr().String()), 0o600))
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// apply makes objects as a client does; Pods also get their status, which else a kubelet writes.
func (n *node) apply(manifest string) {
	n.t.Helper()
	for _, doc := range strings.Split("\n"+manifest, "\n---") {
		var pod corev1.Pod
		if err := yaml.Unmarshal([]byte(doc), &pod); err == nil && pod.Kind == "Pod" {
			n.check(n.api.Store.Put(&pod))
			continue
		}
		n.check(n.api.Store.Apply([]byte(doc)))
	}
}

func (n *node) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// run runs a program on the node and returns what it printed; it must succeed.
func (n *node) run(name string, args ...string) string {
	n.t.Helper()
	text, err := n.try(name, args...)
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
	return text
}

func (n *node) try(name string, args ...string) (string, error) {
	cmd := n.space.Command(context.Background(), name, args...)
	cmd.Env = n.env()
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// sh runs a script on the node.
func (n *node) sh(script string) string {
	n.t.Helper()
	return n.run("bash", "-euc", script)
}

func (n *node) env() []string {
	return append(os.Environ(), "KUBE_ROUTER_CNI_CONF_FILE="+n.path("cni/10-kuberouter.conflist"), "NODE_NAME=n1", "POD_NAMESPACE=kube-system")
}

func (n *node) flags() []string {
	return append([]string{
		"--kubeconfig", n.path("kubeconfig"), "--control-socket", n.path("run/control.sock"),
		"--cni-socket", n.path("run/cni.sock"), "--service-proxy-engine", "nftables",
	}, n.args...)
}

// start starts the daemon and waits until it is ready.
func (n *node) start(more ...string) {
	n.t.Helper()
	n.launch(more...)
	n.ready()
}

// launch starts the daemon.
func (n *node) launch(more ...string) {
	n.t.Helper()
	n.log = &bytes.Buffer{}
	n.daemon = n.space.Command(context.Background(), bin, append(n.flags(), more...)...)
	n.daemon.Env = n.env()
	n.daemon.Stdout, n.daemon.Stderr = n.log, n.log
	n.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.check(n.daemon.Start())
	n.t.Cleanup(n.stop)
}

// ready waits until the daemon says that it is well.
func (n *node) ready() {
	n.t.Helper()
	n.eventually("ready", func() error {
		text, err := n.show("summary")
		if err != nil || !strings.Contains(text, "well") || strings.Contains(text, "unwell") {
			return fmt.Errorf("%v\n%s", err, text)
		}
		return nil
	})
}

func (n *node) show(view ...string) (string, error) {
	return n.try(bin, append([]string{"show", "--control-socket", n.path("run/control.sock")}, view...)...)
}

// stop ends the daemon as kubelet does.
func (n *node) stop() {
	if n.daemon == nil {
		return
	}
	_ = n.daemon.Process.Signal(syscall.SIGTERM)
	if err := n.daemon.Wait(); err != nil {
		n.t.Errorf("the daemon ended with %v", err)
	}
	n.daemon = nil
	if n.t.Failed() {
		n.t.Logf("the daemon's log:\n%s", n.log)
	}
}

// cleanup runs the program's cleanup.
func (n *node) cleanup() {
	n.t.Helper()
	n.run(bin, append([]string{"cleanup"}, n.flags()...)...)
}

// eventually waits until f finds nothing wrong.
func (n *node) eventually(what string, f func() error) {
	n.t.Helper()
	deadline := time.Now().Add(90 * time.Second) // a busy machine is no fault
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("not %s after 90 s: %v\nthe daemon's log:\n%s", what, err, n.log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// pod makes a pod with an address and a server on port 8080, on a link of its own.
func (n *node) pod(name string, at netip.Addr) *netns.Space {
	n.t.Helper()
	s := n.newSpace()
	gateway := netip.MustParseAddr("169.254.1.1")
	n.check(netns.Cable(1500, netns.End{Space: n.space, Name: name},
		netns.End{Space: s, Name: "eth0", Addrs: []netip.Prefix{netip.PrefixFrom(at, at.BitLen())}}))
	n.run("ip", "route", "add", at.String(), "dev", name)
	n.run("ip", "addr", "add", gateway.String()+"/32", "dev", name)
	in := func(args ...string) {
		text, err := s.Command(context.Background(), "ip", args...).CombinedOutput()
		if err != nil {
			n.t.Fatalf("ip %v: %v %s", args, err, text)
		}
	}
	in("route", "add", gateway.String(), "dev", "eth0")
	in("route", "add", "default", "via", gateway.String(), "dev", "eth0")
	var server *podserver.Server
	n.check(s.Do(func() (err error) {
		server, err = podserver.Listen(podserver.Config{Pod: "default/" + name, Node: "n1", TCP: []uint16{8080}})
		return err
	}))
	n.t.Cleanup(server.Close)
	return s
}

// tool tells whether a program is there.
func tool(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}
